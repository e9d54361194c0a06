"""The JSON of what a job was made from and of what made it, which `job_resource` and the workers write."""

from typing import Any

from rest_framework import serializers

from gpu_worker.contract.presets import PresetName, Resolution
from gpu_worker.contract.spec import SpeakingOrder
from jobs.intake.consent import ConsentSerializer
from jobs.intake.requests import AudioChannels, BoxSerializer

SHORTENED = "Null in a message that would have become too long."


class InputFileSerializer(serializers.Serializer):
    """A picture, a video or a recording: where it came from, and what is known of it once it was read."""

    url = serializers.CharField(required=False, help_text="Of a file by address, without its secrets.")
    asset = serializers.CharField(required=False, help_text="The id of an asset.")
    voices = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Of a text: what says it."
    )
    characters = serializers.IntegerField(required=False, help_text="Of a text: its length.")
    sha256 = serializers.CharField(required=False)
    size_bytes = serializers.IntegerField(required=False)
    width = serializers.IntegerField(required=False)
    height = serializers.IntegerField(required=False)
    duration_seconds = serializers.FloatField(required=False)
    channel = serializers.CharField(
        required=False, help_text="Of a stereo recording: the one that is used, where only one is."
    )


class JobInputSerializer(serializers.Serializer):
    """What was requested, with every default filled in."""

    image = InputFileSerializer(required=False, help_text="Either this or `video`.")
    video = InputFileSerializer(required=False)
    audio = InputFileSerializer()
    audio_2 = InputFileSerializer(allow_null=True)
    audio_channels = serializers.ChoiceField(choices=[item.value for item in AudioChannels])
    crop = BoxSerializer(allow_null=True, help_text="Null: the centre, or until the picture was looked at.")
    speaker_boxes: serializers.ListSerializer[Any] = serializers.ListSerializer(child=BoxSerializer())
    speaking_order = serializers.ChoiceField(choices=[order.value for order in SpeakingOrder])
    prompt = serializers.CharField(allow_null=True, help_text=SHORTENED)
    negative_prompt = serializers.CharField(allow_null=True, help_text=SHORTENED)
    resolution = serializers.ChoiceField(choices=[item.value for item in Resolution])
    preset = serializers.ChoiceField(choices=[item.value for item in PresetName])
    seed = serializers.IntegerField()
    webhook_url = serializers.CharField(allow_null=True)
    consent = ConsentSerializer(allow_null=True)


class JobReceiptSerializer(serializers.Serializer):
    """What made the video; engines add facts of their own, such as the revisions of their models."""

    engine = serializers.CharField()
    device = serializers.CharField()
    preset = serializers.CharField()
    resolution = serializers.CharField()
    num_inference_steps = serializers.IntegerField(required=False, help_text="Of an engine that denoises.")
    seed = serializers.IntegerField()
    attempt = serializers.IntegerField()
    seconds = serializers.DictField(child=serializers.FloatField(), help_text="Of each stage, by its name.")
