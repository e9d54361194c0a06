"""The presets a job may ask for, and the resolutions: one table for API, estimates and engines."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from gpu_worker.contract.windows import SHORT_WINDOWS, STANDARD_WINDOWS, WindowShape


class Resolution(StrEnum):
    """The area of the picture; its shape follows the reference image."""

    P480 = "480p"
    P720 = "720p"


class PresetName(StrEnum):
    FAST = "fast"
    BALANCED = "balanced"
    QUALITY = "quality"
    TURBO = "turbo"
    INSTANT = "instant"


class Weights(StrEnum):
    """The transformers that presets need: what `init_storage.sh --models` installs."""

    STANDARD = "standard"
    TURBO = "turbo"


TRAIN_TIMESTEPS = 1000.0


@dataclass(frozen=True)
class Sampling:
    """How the windows of a job are sampled, resolved: a job keeps it from its first attempt to its end.

    Attributes:
        timesteps: Of the steps, falling from 1000; the last step goes straight to 0.
        text_guidance_scale: 1 means that the prompt guides without a second pass.
        audio_guidance_scale: 1 means that the speech guides without a second pass.
    """

    timesteps: tuple[float, ...]
    text_guidance_scale: float
    audio_guidance_scale: float


@dataclass(frozen=True)
class Preset:
    """How one window is sampled.

    Attributes:
        base_timesteps: Of the steps, before they are shifted.
        text_guidance_scale: 1 means that the prompt guides without a second pass.
        audio_guidance_scale: 1 means that the speech guides without a second pass.
        shift: How far the timesteps are shifted towards noise, by resolution.
        lora: Name of the step-distillation LoRA, or None.
        may_skip_steps: Whether neighbouring steps are so much alike that operators may have some skipped.
        weights: Which transformer renders it.
        windows: How its videos are cut.
        max_speakers: How many people may speak.
        dubs: Whether the reference may be a video.
        price_factor: Its price relative to the plan's price a second.
        summary: What it is for, in a few words.
    """

    base_timesteps: tuple[float, ...]
    text_guidance_scale: float
    audio_guidance_scale: float
    shift: dict[Resolution, float]
    lora: str | None = None
    may_skip_steps: bool = False
    weights: Weights = Weights.STANDARD
    windows: WindowShape = STANDARD_WINDOWS
    max_speakers: int = 2
    dubs: bool = True
    price_factor: Decimal = field(kw_only=True)
    summary: str = field(default="", kw_only=True)

    @property
    def resolutions(self) -> frozenset[Resolution]:
        """Those that the weights were trained at."""
        return frozenset(self.shift)

    @property
    def num_inference_steps(self) -> int:
        """Denoising steps of a window."""
        return len(self.base_timesteps)

    def sampling(self, resolution: Resolution) -> Sampling:
        """What a job of this preset samples with."""
        return Sampling(
            _shifted(self.base_timesteps, self.shift[resolution]),
            self.text_guidance_scale,
            self.audio_guidance_scale,
        )

    @property
    def passes(self) -> int:
        """Transformer forwards per step: prompt and speech guidance each cost one more."""
        if self.text_guidance_scale != 1:
            return 3
        return 2 if self.audio_guidance_scale != 1 else 1


def _shifted(base_timesteps: tuple[float, ...], shift: float) -> tuple[float, ...]:
    ratios = (timestep / TRAIN_TIMESTEPS for timestep in base_timesteps)
    return tuple(TRAIN_TIMESTEPS * shift * ratio / (1 + (shift - 1) * ratio) for ratio in ratios)


def _evenly_to_one(steps: int) -> tuple[float, ...]:
    """The published spacing."""
    gap = (TRAIN_TIMESTEPS - 1) / (steps - 1)
    return tuple(TRAIN_TIMESTEPS - gap * step for step in range(steps))


def _evenly_to_zero(steps: int) -> tuple[float, ...]:
    """The spacing of step distillation, where the last step removes as much noise as any."""
    return tuple(TRAIN_TIMESTEPS * (steps - step) / steps for step in range(steps))


_DISTILLED_SHIFT = {Resolution.P480: 5.0, Resolution.P720: 5.0}
_PUBLISHED_SHIFT = {Resolution.P480: 7.0, Resolution.P720: 11.0}


def _distilled(base_timesteps: tuple[float, ...], *, price_factor: Decimal, summary: str) -> Preset:
    """Of the weights that were distilled for one person at 768 × 448, without guidance."""
    return Preset(
        base_timesteps,
        1.0,
        1.0,
        {Resolution.P480: 5.0},
        weights=Weights.TURBO,
        windows=SHORT_WINDOWS,
        max_speakers=1,
        dubs=False,
        price_factor=price_factor,
        summary=summary,
    )


# Prices are rounded from the work of 8, 16 and 120 forwards a window; `quality` is priced below its work.
PRESETS: dict[PresetName, Preset] = {
    PresetName.FAST: Preset(
        _evenly_to_zero(4),
        1.0,
        2.0,
        _DISTILLED_SHIFT,
        lora="lightx2v",
        price_factor=Decimal("1"),
        summary="four steps",
    ),
    PresetName.BALANCED: Preset(
        _evenly_to_zero(8),
        1.0,
        2.0,
        _DISTILLED_SHIFT,
        lora="lightx2v",
        price_factor=Decimal("1.8"),
        summary="eight steps: calmer details",
    ),
    PresetName.QUALITY: Preset(
        _evenly_to_one(40),
        5.0,
        4.0,
        _PUBLISHED_SHIFT,
        may_skip_steps=True,
        price_factor=Decimal("10"),
        summary="forty steps: for the final cut, slow",
    ),
    PresetName.TURBO: _distilled(
        (1000, 750, 500, 250),
        price_factor=Decimal("0.35"),
        summary="distilled weights, 480p, one speaker: a third of the price",
    ),
    PresetName.INSTANT: _distilled(
        (1000, 500), price_factor=Decimal("0.2"), summary="as turbo, in two steps: the quickest"
    ),
}

_VERSION_1_SHIFT = {Resolution.P480: 2.0, Resolution.P720: 2.0}
_VERSION_1_TIMESTEPS = {
    PresetName.FAST: _evenly_to_one(4),
    PresetName.BALANCED: _evenly_to_one(8),
}


def version_1_sampling(preset: PresetName, resolution: Resolution) -> Sampling:
    """What a job samples with whose spec doesn't say: specs of version 1 left it to the worker."""
    now = PRESETS[preset].sampling(resolution)
    if preset not in _VERSION_1_TIMESTEPS:
        return now
    return replace(now, timesteps=_shifted(_VERSION_1_TIMESTEPS[preset], _VERSION_1_SHIFT[resolution]))
