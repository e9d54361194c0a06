"""What a client asks for, checked in form; whether its files are any good is the intake's to say."""

import secrets
from dataclasses import dataclass
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from rest_framework import serializers

from avatar_api.common.fields import (
    StrictCharField,
    StrictChoiceField,
    StrictFloatField,
    StrictIntegerField,
    StrictSerializer,
)
from avatar_api.common.problems import FieldError, invalid
from gpu_worker.contract.presets import PresetName, Resolution
from gpu_worker.contract.spec import ReferenceKind, SpeakerBox, SpeakingOrder
from jobs.fields import MetadataField, WebhookUrlField
from jobs.states import ERROR_CODES

DEFAULT_PROMPT = "A person is talking."
MAX_PROMPT = 2000
MAX_SEED = 2**32 - 1
SIMULATIONS = ERROR_CODES | {"slow"}


@dataclass(frozen=True)
class JobRequest:
    """A job as it is asked for.

    Attributes:
        reference_field: The name under which the client sent the reference: `image` or `video`.
        speech: One upload a speaker.
        seed: The client's, or a random one that the answer tells.
    """

    reference: UploadedFile
    reference_kind: ReferenceKind
    speech: tuple[UploadedFile, ...]
    speaker_boxes: tuple[SpeakerBox, ...]
    speaking_order: SpeakingOrder
    prompt: str
    negative_prompt: str
    resolution: Resolution
    preset: PresetName
    seed: int
    webhook_url: str | None
    metadata: dict[str, str]


class SpeakerBoxSerializer(StrictSerializer):
    """Where a speaker is: fractions of the image, from its top left."""

    x = StrictFloatField(min_value=0, max_value=1)
    y = StrictFloatField(min_value=0, max_value=1)
    width = StrictFloatField(min_value=0, max_value=1)
    height = StrictFloatField(min_value=0, max_value=1)

    def validate(self, attrs: dict[str, float]) -> dict[str, float]:
        fits = attrs["x"] + attrs["width"] <= 1 and attrs["y"] + attrs["height"] <= 1
        if not fits or attrs["width"] == 0 or attrs["height"] == 0:
            raise serializers.ValidationError("The box should have an area and lie inside the image.")
        return attrs


class JobRequestSerializer(StrictSerializer):
    """The fields of `POST /v1/jobs`."""

    image = serializers.FileField(required=False, allow_empty_file=True, help_text="The portrait.")
    video = serializers.FileField(
        required=False, allow_empty_file=True, help_text="Instead of an image: a video to dub."
    )
    audio = serializers.FileField(allow_empty_file=True, help_text="The speech.")
    audio_2 = serializers.FileField(
        required=False, allow_empty_file=True, help_text="The second speaker's speech."
    )
    speaker_boxes = SpeakerBoxSerializer(many=True, required=False, min_length=1, max_length=2)
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
        if ("image" in attrs) == ("video" in attrs):
            raise invalid(FieldError("image", "required", "Send either an image or a video."))
        if ("audio_2" in attrs) != ("speaking_order" in attrs):
            missing = "speaking_order" if "audio_2" in attrs else "audio_2"
            detail = "A second speaker needs audio_2 and speaking_order."
            raise invalid(FieldError(missing, "required", detail))
        if len(attrs.get("speaker_boxes", ())) == 2 and "audio_2" not in attrs:
            raise invalid(FieldError("audio_2", "required", "Two boxes need two speakers."))
        return attrs

    def asked(self) -> JobRequest:
        """The validated request."""
        data = self.validated_data
        kind = ReferenceKind.IMAGE if "image" in data else ReferenceKind.VIDEO
        return JobRequest(
            reference=data[kind.value],
            reference_kind=kind,
            speech=tuple(data[name] for name in ("audio", "audio_2") if name in data),
            speaker_boxes=tuple(SpeakerBox(**box) for box in data.get("speaker_boxes", ())),
            speaking_order=SpeakingOrder(data.get("speaking_order", SpeakingOrder.TOGETHER)),
            prompt=data["prompt"],
            negative_prompt=data["negative_prompt"],
            resolution=Resolution(data["resolution"]),
            preset=PresetName(data["preset"]),
            seed=data.get("seed", secrets.randbelow(MAX_SEED + 1)),
            webhook_url=data.get("webhook_url"),
            metadata=data["metadata"],
        )
