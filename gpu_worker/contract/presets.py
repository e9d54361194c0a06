"""The presets a job may ask for, and the resolutions: one table for API, estimates and engines."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class Resolution(StrEnum):
    """The area of the picture; its shape follows the reference image."""

    P480 = "480p"
    P720 = "720p"


class PresetName(StrEnum):
    FAST = "fast"
    BALANCED = "balanced"
    QUALITY = "quality"


@dataclass(frozen=True)
class Preset:
    """How one window is sampled.

    Attributes:
        num_inference_steps: Denoising steps of a window.
        text_guidance_scale: 1 means that the prompt guides without a second pass.
        audio_guidance_scale: 1 means that the speech guides without a second pass.
        shift: Time shift of the flow-match schedule, by resolution.
        lora: Name of the step-distillation LoRA, or None.
        price_factor: Its price relative to the plan's price a second.
    """

    num_inference_steps: int
    text_guidance_scale: float
    audio_guidance_scale: float
    shift: dict[Resolution, float]
    lora: str | None = None
    price_factor: Decimal = field(kw_only=True)

    @property
    def passes(self) -> int:
        """Transformer forwards per step: prompt and speech guidance each cost one more."""
        if self.text_guidance_scale != 1:
            return 3
        return 2 if self.audio_guidance_scale != 1 else 1


DISTILLED_SHIFT = {Resolution.P480: 2.0, Resolution.P720: 2.0}

# Prices are rounded from the work of 8, 16 and 120 forwards a window; `quality` is priced below its work.
PRESETS: dict[PresetName, Preset] = {
    PresetName.FAST: Preset(4, 1.0, 2.0, DISTILLED_SHIFT, lora="lightx2v", price_factor=Decimal("1")),
    PresetName.BALANCED: Preset(8, 1.0, 2.0, DISTILLED_SHIFT, lora="lightx2v", price_factor=Decimal("1.8")),
    PresetName.QUALITY: Preset(
        40, 5.0, 4.0, {Resolution.P480: 7.0, Resolution.P720: 11.0}, price_factor=Decimal("10")
    ),
}
