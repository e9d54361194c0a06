"""A client's request, its form checked; its files are checked later, by the sandbox."""

import secrets
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from rest_framework import serializers

from accounts.limits import Limits
from avatar_api.common.faults import Faults
from avatar_api.common.fields import (
    StrictCharField,
    StrictChoiceField,
    StrictFloatField,
    StrictIntegerField,
    StrictSerializer,
)
from avatar_api.common.problems import FieldError
from gpu_worker.contract.framing import Box
from gpu_worker.contract.presets import PRESETS, Preset, PresetName, Resolution
from gpu_worker.contract.spec import ReferenceKind, RenderParameters, SpeakingOrder
from jobs.intake.consent import ConsentSerializer
from jobs.intake.fields import AssetIdField, FileUrlField, MetadataField, WebhookUrlField
from jobs.intake.probes.base import Channel
from jobs.intake.sources import Source
from jobs.intake.speech import fields as speech_fields
from jobs.intake.speech.fields import MAX_LINES, ScriptLineSerializer, TextField, VoiceField

DEFAULT_PROMPT = "A person is talking."
MAX_PROMPT = 2000
MAX_SEED = 2**32 - 1
REFERENCE_FIELDS: tuple[str, ...] = ("image", "image_url", "image_asset", "video", "video_url", "video_asset")
AUDIO_FIELDS: tuple[str, ...] = ("audio", "audio_url", "audio_asset", "text", "script")
AUDIO_2_FIELDS: tuple[str, ...] = ("audio_2", "audio_2_url", "audio_2_asset", "text_2")
# What a text becomes.
TEXT_NAMES = {"text": "audio", "script": "audio", "text_2": "audio_2"}
# The best first.
RESOLUTIONS = (Resolution.P720, Resolution.P480)
PORTRAIT = "The portrait: JPEG, PNG, WebP, AVIF, HEIC, BMP, TIFF or GIF."
SPEECH = "The speech: WAV, MP3, M4A, FLAC, OGG, WebM, CAF, AIFF, AMR, or a video's sound."
REQUIRED_PICTURE = "**Required**, unless a video, an address or an asset takes its place."
REQUIRED_SPEECH = "**Required**, unless an address, an asset or a text takes its place."
FILE_FIELDS = REFERENCE_FIELDS + AUDIO_FIELDS + AUDIO_2_FIELDS

Choice = TypeVar("Choice", bound=str)


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
        consent: Whose likeness it shows and who allowed it, as the caller attests.
    """

    reference: RequestedFile
    speech: tuple[RequestedFile, ...]
    audio_channels: AudioChannels
    crop: Box | None
    webhook_url: str | None
    metadata: dict[str, str]
    consent: dict[str, str] | None

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
    text = TextField(
        required=False, help_text="Instead of a recording: what is said. [pause 0.5s] is silence."
    )
    voice = VoiceField(help_text="Who says it: the id of a voice. Default: the first of them.")
    text_2 = TextField(required=False, help_text="What the second speaker says.")
    voice_2 = VoiceField(help_text="Who says that. Default: one of the same language as voice.")
    script: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=ScriptLineSerializer(),
        required=False,
        min_length=1,
        max_length=MAX_LINES,
        error_messages={"not_a_list": "Must be a JSON array."},
        help_text="Instead of recordings: a dialogue, line by line.",
    )
    audio_channels = StrictChoiceField(
        choices=[item.value for item in AudioChannels],
        default=AudioChannels.MIX.value,
        help_text="split: the left and right channel of a stereo recording are the first and second speaker.",
    )
    speaker_boxes: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=BoxSerializer(),
        required=False,
        min_length=1,
        max_length=2,
        error_messages={"not_a_list": "Must be a JSON array."},
        help_text="Where the speakers are, as fractions of the image from its top left: one box for each. "
        "Default: the largest faces, from left to right.",
    )
    crop = BoxSerializer(
        required=False,
        help_text="What the video shows of the image or video. Default: as much as the frame's shape allows, "
        "around the speakers' faces.",
    )
    speaking_order = StrictChoiceField(
        choices=[order.value for order in SpeakingOrder],
        required=False,
        help_text="Who speaks first, of two speakers. Default: together.",
    )
    prompt = StrictCharField(
        max_length=MAX_PROMPT,
        default=DEFAULT_PROMPT,
        help_text=f"What the video shows. Default: {DEFAULT_PROMPT}",
    )
    negative_prompt = StrictCharField(
        max_length=MAX_PROMPT,
        allow_blank=True,
        default="",
        help_text="What the video must not show. Default: the model's own.",
    )
    resolution = StrictChoiceField(
        choices=[item.value for item in Resolution],
        required=False,
        help_text="Default: the best that the plan offers.",
    )
    preset = StrictChoiceField(
        choices=[item.value for item in PresetName],
        required=False,
        help_text="Default: fast, or the first of these that the plan offers.",
    )
    seed = StrictIntegerField(
        min_value=0,
        max_value=MAX_SEED,
        required=False,
        help_text="The same input and seed give the same video. Default: random; the job names it.",
    )
    webhook_url = WebhookUrlField(
        required=False, help_text="Where to send this job's events, instead of the organization's webhooks."
    )
    metadata = MetadataField(
        default=dict, help_text="Up to 16 pairs of text of your own, which come back with the job."
    )
    consent = ConsentSerializer(
        required=False,
        help_text="Whose likeness and voice these are, and who allowed it. Plans may require it.",
    )

    def to_internal_value(self, data: Any) -> Any:
        """Raises: Problem: `validation_error` naming every field at fault, by itself or beside others."""
        faults = Faults()
        with faults.gathered():
            values = super().to_internal_value(data)
        faults.errors += conflicts(data)
        faults.refuse()
        return values | speech_fields.spoken(values)

    @staticmethod
    def defaults(limits: Limits) -> dict[str, Any]:
        """Of parameters whose absence means something, or whose default differs from job to job."""
        return {
            "speaking_order": SpeakingOrder.TOGETHER,
            "speaker_boxes": (),
            "resolution": best_resolution(best(PresetName, limits.presets), limits),
            "preset": best(PresetName, limits.presets),
            "seed": secrets.randbelow(MAX_SEED + 1),
        }

    def to_job_request(self, limits: Limits) -> JobRequest:
        """The validated request; where it leaves the choice, it gets the best of what the limits offer."""
        data = self.validated_data
        channels = AudioChannels(data["audio_channels"])
        if "script" in data and data["script"].speakers == 2:
            channels = AudioChannels.SPLIT
        files = [requested_file(field, data[field], channels) for field in FILE_FIELDS if field in data]
        chosen = self.defaults(limits) | data
        if "resolution" not in data:
            chosen["resolution"] = best_resolution(PresetName(chosen["preset"]), limits)
        return JobRequest(
            reference=files[0],
            speech=tuple(files[1:]),
            audio_channels=channels,
            crop=Box(**data["crop"]) if "crop" in data else None,
            **RenderParameters.read(chosen),
            webhook_url=data.get("webhook_url"),
            metadata=data["metadata"],
            consent=data.get("consent"),
        )


class JobFormSerializer(JobRequestSerializer):
    """The fields of `POST /v1/jobs` as a multipart form: the same, and files."""

    image = serializers.FileField(
        required=False, allow_empty_file=True, help_text=f"{PORTRAIT} {REQUIRED_PICTURE}"
    )
    video = serializers.FileField(
        required=False, allow_empty_file=True, help_text="Instead of an image: a video to dub."
    )
    audio = serializers.FileField(
        required=False, allow_empty_file=True, help_text=f"{SPEECH} {REQUIRED_SPEECH}"
    )
    audio_2 = serializers.FileField(
        required=False, allow_empty_file=True, help_text="The second speaker's speech."
    )


class JobChangeSerializer(StrictSerializer):
    """The fields of `PATCH /v1/jobs/<id>`."""

    metadata = MetadataField(help_text="Takes the place of all pairs that the job has.")


class BrowsableJobForm(serializers.Serializer):
    """The form of the browsable API: what a person needs to try a video. All else goes as JSON."""

    image = serializers.FileField(label="Portrait")
    audio = serializers.FileField(label="Speech")
    prompt = serializers.CharField(initial=DEFAULT_PROMPT)
    resolution = serializers.ChoiceField(
        choices=[item.value for item in Resolution], initial=Resolution.P480.value
    )
    preset = serializers.ChoiceField(choices=[item.value for item in PresetName])


def conflicts(data: Mapping[str, Any]) -> Iterator[FieldError]:
    """What is missing beside the fields that came, and what can't come with them."""
    for names in (REFERENCE_FIELDS, AUDIO_FIELDS):
        if not any(name in data for name in names):
            yield FieldError(names[0], "required", f"Send one of {', '.join(names)}.")
    for names in (REFERENCE_FIELDS, AUDIO_FIELDS, AUDIO_2_FIELDS):
        first, *others = [name for name in names if name in data] or [""]
        for name in others:
            yield FieldError(name, "ambiguous", f"{first} was sent as well; send only one of them.")
    second = [name for name in AUDIO_2_FIELDS if name in data]
    split = data.get("audio_channels") == AudioChannels.SPLIT
    if split and second:
        detail = "The right channel of audio is the second speaker: leave this out, or send mix."
        yield FieldError(second[0], "ambiguous", detail)
    if "script" in data and second:
        yield FieldError(second[0], "ambiguous", "The script has the lines of both speakers.")
    yield from speech_fields.conflicts_of_texts(data)
    speakers = 2 if second or split else speech_fields.speakers_of(data.get("script"))
    yield from conflicts_of_speakers(data, speakers=speakers)
    chosen = data.get("preset")
    if isinstance(chosen, str) and (preset := PRESETS.get(chosen)):  # type: ignore[call-overload]
        yield from conflicts_of_preset(data, preset, speakers)


def conflicts_of_preset(data: Mapping[str, Any], preset: Preset, speakers: int) -> Iterator[FieldError]:
    """What the preset's weights were not trained for."""
    name = data["preset"]
    if data.get("resolution") in [item for item in Resolution if item not in preset.resolutions]:
        detail = f"The preset {name} renders {', '.join(sorted(preset.resolutions))} only."
        yield FieldError("resolution", "not_with_preset", detail)
    if speakers > preset.max_speakers:
        detail = f"The preset {name} renders one speaker: choose fast, balanced or quality for two."
        yield FieldError("preset", "one_speaker_only", detail)
    if not preset.dubs and any(field in data for field in ("video", "video_url", "video_asset")):
        detail = f"The preset {name} needs an image: choose fast, balanced or quality to dub a video."
        yield FieldError("preset", "image_required", detail)


def conflicts_of_speakers(data: Mapping[str, Any], speakers: int) -> Iterator[FieldError]:
    boxes = data.get("speaker_boxes")
    number = len(boxes) if isinstance(boxes, list) else 0
    if speakers == 1 and "speaking_order" in data:
        detail = "It orders two speakers: send audio_2, or audio_channels=split."
        yield FieldError("speaking_order", "second_speaker_required", detail)
    if speakers == 1 and number == 2:
        yield FieldError("audio_2", "required", "Two boxes require two speakers.")
    if speakers == 2 and number == 1:
        yield FieldError("speaker_boxes", "second_box_required", "Two speakers require two boxes, or none.")


def best_resolution(preset: PresetName, limits: Limits) -> Resolution:
    """The best that plan and preset have in common."""
    trained = PRESETS[preset].resolutions
    return best([one for one in RESOLUTIONS if one in trained], limits.resolutions)


def best(preferred: Iterable[Choice], offered: Container[str]) -> Choice:
    """The first that is offered; where none is, the first, which will then be refused."""
    choices = list(preferred)
    return next((choice for choice in choices if choice in offered), choices[0])


def requested_file(field: str, source: Source, channels: AudioChannels) -> RequestedFile:
    name = TEXT_NAMES.get(field, field.removesuffix("_url").removesuffix("_asset"))
    return RequestedFile(name, field, source, channels)
