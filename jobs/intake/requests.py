"""A client's request, its form checked; its files are checked later, by the sandbox."""

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rest_framework import serializers

from avatar_api.common.fields import (
    StrictCharField,
    StrictChoiceField,
    StrictFloatField,
    StrictIntegerField,
    StrictSerializer,
)
from avatar_api.common.problems import FieldError, invalid
from gpu_worker.contract.framing import Box
from gpu_worker.contract.presets import PresetName, Resolution
from gpu_worker.contract.spec import ReferenceKind, RenderParameters, SpeakingOrder
from jobs.intake.fields import AssetIdField, FileUrlField, MetadataField, WebhookUrlField
from jobs.intake.probes.base import Channel
from jobs.intake.sources import Source

DEFAULT_PROMPT = "A person is talking."
MAX_PROMPT = 2000
MAX_SEED = 2**32 - 1
REFERENCE_FIELDS = ("image", "image_url", "image_asset", "video", "video_url", "video_asset")
AUDIO_FIELDS = ("audio", "audio_url", "audio_asset")
AUDIO_2_FIELDS = ("audio_2", "audio_2_url", "audio_2_asset")
PORTRAIT = "The portrait: JPEG, PNG, WebP, AVIF, HEIC, BMP, TIFF or GIF."
SPEECH = "The speech: WAV, MP3, M4A, FLAC, OGG, WebM, CAF, AIFF, AMR, or a video's sound."
FILE_FIELDS = REFERENCE_FIELDS + AUDIO_FIELDS + AUDIO_2_FIELDS


class AudioChannels(StrEnum):
    """What the channels of a recording are."""

    MIX = "mix"
    SPLIT = "split"


@dataclass(frozen=True)
class RequestedFile:
    """A file of a request.

    Attributes:
        name: What it is: `image`, `video`, `audio` or `audio_2`.
        field: The field by which it came, such as `audio_url`.
        channels: Of a recording: how many speakers its channels are.
    """

    name: str
    field: str
    source: Source
    channels: AudioChannels = AudioChannels.MIX

    @property
    def parts(self) -> dict[str, Channel]:
        """What the file stands for: the channel of a recording that is kept, by the name of its copy."""
        if self.name == "audio" and self.channels is AudioChannels.SPLIT:
            return {"audio": Channel.LEFT, "audio_2": Channel.RIGHT}
        return {self.name: Channel.ALL}


@dataclass(frozen=True, kw_only=True)
class JobRequest(RenderParameters):
    """A job as it is requested.

    Attributes:
        reference: The image or video.
        speech: One file a speaker, or one for both.
        audio_channels: Whether that one has the two speakers on its channels.
        crop: What is shown of the reference; None: around the speakers.
        webhook_url: Where this job's events go, instead of the organization's endpoints.
    """

    reference: RequestedFile
    speech: tuple[RequestedFile, ...]
    audio_channels: AudioChannels
    crop: Box | None
    webhook_url: str | None
    metadata: dict[str, str]

    @property
    def reference_kind(self) -> ReferenceKind:
        return ReferenceKind(self.reference.name)

    @property
    def files(self) -> tuple[RequestedFile, ...]:
        return (self.reference, *self.speech)


class BoxSerializer(StrictSerializer):
    """A part of the image: fractions of it, from its top left."""

    x = StrictFloatField(min_value=0, max_value=1)
    y = StrictFloatField(min_value=0, max_value=1)
    width = StrictFloatField(min_value=0, max_value=1)
    height = StrictFloatField(min_value=0, max_value=1)

    def validate(self, attrs: dict[str, float]) -> dict[str, float]:
        fits = attrs["x"] + attrs["width"] <= 1 and attrs["y"] + attrs["height"] <= 1
        if not fits or attrs["width"] == 0 or attrs["height"] == 0:
            raise serializers.ValidationError("The box must have an area and lie inside the image.")
        return attrs


class JobRequestSerializer(StrictSerializer):
    """The fields of `POST /v1/jobs` as JSON. Image and video exclude each other; speech is needed."""

    image_url = FileUrlField(required=False, help_text=f"{PORTRAIT} An https URL or a data: URI.")
    image_asset = AssetIdField(required=False, help_text="The portrait: an asset.")
    video_url = FileUrlField(required=False, help_text="Instead of an image: a video to dub.")
    video_asset = AssetIdField(required=False, help_text="Instead of an image: a video to dub.")
    audio_url = FileUrlField(required=False, help_text=f"{SPEECH} An https URL or a data: URI.")
    audio_asset = AssetIdField(required=False, help_text="The speech: an asset.")
    audio_2_url = FileUrlField(required=False, help_text="The second speaker's speech.")
    audio_2_asset = AssetIdField(required=False, help_text="The second speaker's speech.")
    audio_channels = StrictChoiceField(
        choices=[item.value for item in AudioChannels],
        default=AudioChannels.MIX.value,
        help_text="split: the left and right channel of a stereo recording are the first and second speaker.",
    )
    speaker_boxes: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=BoxSerializer(), required=False, min_length=1, max_length=2
    )
    crop = BoxSerializer(
        required=False,
        help_text="What the video shows of the image or video. Default: as much as the frame's shape allows, "
        "around the speakers' faces.",
    )
    speaking_order = StrictChoiceField(choices=[order.value for order in SpeakingOrder], required=False)
    prompt = StrictCharField(max_length=MAX_PROMPT, default=DEFAULT_PROMPT)
    negative_prompt = StrictCharField(max_length=MAX_PROMPT, allow_blank=True, default="")
    resolution = StrictChoiceField(choices=[item.value for item in Resolution], default=Resolution.P720.value)
    preset = StrictChoiceField(choices=[item.value for item in PresetName], default=PresetName.FAST.value)
    seed = StrictIntegerField(min_value=0, max_value=MAX_SEED, required=False)
    webhook_url = WebhookUrlField(
        required=False, help_text="Where to send this job's events, instead of the organization's webhooks."
    )
    metadata = MetadataField(default=dict)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exactly_one(attrs, *REFERENCE_FIELDS)
        exactly_one(attrs, *AUDIO_FIELDS)
        second = at_most_one(attrs, *AUDIO_2_FIELDS)
        if attrs["audio_channels"] == AudioChannels.SPLIT:
            if second is not None:
                detail = "The right channel of audio is the second speaker: leave this out, or send mix."
                raise invalid(FieldError(second, "ambiguous", detail))
            return attrs
        if (second is not None) != ("speaking_order" in attrs):
            missing = "audio_2" if second is None else "speaking_order"
            detail = "A second speaker requires audio_2 and speaking_order, or audio_channels=split."
            raise invalid(FieldError(missing, "required", detail))
        if len(attrs.get("speaker_boxes", ())) == 2 and second is None:
            raise invalid(FieldError("audio_2", "required", "Two boxes require two speakers."))
        return attrs

    @staticmethod
    def defaults() -> dict[str, Any]:
        """Of parameters whose absence means something, or whose default differs from job to job."""
        return {
            "speaking_order": SpeakingOrder.TOGETHER,
            "speaker_boxes": (),
            "seed": secrets.randbelow(MAX_SEED + 1),
        }

    def to_job_request(self) -> JobRequest:
        """The validated request."""
        data = self.validated_data
        channels = AudioChannels(data["audio_channels"])
        files = [requested_file(field, data[field], channels) for field in FILE_FIELDS if field in data]
        return JobRequest(
            reference=files[0],
            speech=tuple(files[1:]),
            audio_channels=channels,
            crop=Box(**data["crop"]) if "crop" in data else None,
            **RenderParameters.read(self.defaults() | data),
            webhook_url=data.get("webhook_url"),
            metadata=data["metadata"],
        )


class JobFormSerializer(JobRequestSerializer):
    """The fields of `POST /v1/jobs` as a multipart form: the same, and files."""

    image = serializers.FileField(required=False, allow_empty_file=True, help_text=PORTRAIT)
    video = serializers.FileField(
        required=False, allow_empty_file=True, help_text="Instead of an image: a video to dub."
    )
    audio = serializers.FileField(required=False, allow_empty_file=True, help_text=SPEECH)
    audio_2 = serializers.FileField(
        required=False, allow_empty_file=True, help_text="The second speaker's speech."
    )


class BrowsableJobForm(serializers.Serializer):
    """The form of the browsable API: what a person needs to try a video. All else goes as JSON."""

    image = serializers.FileField(label="Portrait")
    audio = serializers.FileField(label="Speech")
    prompt = serializers.CharField(initial=DEFAULT_PROMPT)
    resolution = serializers.ChoiceField(
        choices=[item.value for item in Resolution], initial=Resolution.P480.value
    )
    preset = serializers.ChoiceField(choices=[item.value for item in PresetName])


def exactly_one(attrs: dict[str, Any], *fields: str) -> None:
    """Raises: Problem: `validation_error` when none of the fields came, or more than one."""
    if at_most_one(attrs, *fields) is None:
        raise invalid(FieldError(fields[0], "required", f"Send one of {', '.join(fields)}."))


def at_most_one(attrs: dict[str, Any], *fields: str) -> str | None:
    """The one of the fields that came.

    Raises:
        Problem: `validation_error` naming what came beside it.
    """
    sent = [field for field in fields if field in attrs]
    if len(sent) > 1:
        detail = f"{sent[0]} was sent as well; send only one of them."
        raise invalid(*(FieldError(field, "ambiguous", detail) for field in sent[1:]))
    return sent[0] if sent else None


def requested_file(field: str, source: Source, channels: AudioChannels) -> RequestedFile:
    return RequestedFile(field.removesuffix("_url").removesuffix("_asset"), field, source, channels)
