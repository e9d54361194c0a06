"""How long the next step of a render will take: as measured on this worker, or else as computed."""

import time
from collections.abc import Callable

from gpu_worker.contract.costs import estimated_gpu_seconds
from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.spec import RenderSpec
from gpu_worker.engines.base import Engine

PREPARING_SECONDS = 30.0
"""Encoding the prompt, the speech and the picture before the first step, beside loading the models."""

Kind = tuple[Resolution, PresetName, int, str]
"""What steps of about the same length have in common: size, preset, speakers, and the stage they begin in."""


class StepTimes:
    """The longest steps that a worker has measured, by their kind.

    A step is what lies between two calls of `on_step`: denoising, decoding a window, or everything before
    the first step.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._longest: dict[Kind, float] = {}
        self._began: tuple[Kind, float] | None = None

    def begin(self, spec: RenderSpec, stage: str) -> None:
        """The step before ends here, and one in `stage` begins."""
        now = self._clock()
        if self._began is not None:
            kind, began = self._began
            self._longest[kind] = max(now - began, self._longest.get(kind, 0.0))
        self._began = (_kind(spec, stage), now)

    def stop(self) -> None:
        """The render has ended; what follows is no step."""
        self._began = None

    def expected(self, spec: RenderSpec, stage: str, engine: Engine) -> float:
        """Seconds that a step in `stage` will take at most."""
        measured = self._longest.get(_kind(spec, stage)) or self._longest.get(_kind(spec, "sampling"))
        seconds = computed_seconds(spec, engine) if measured is None else measured
        if stage == "encoding" and _kind(spec, stage) not in self._longest:
            seconds += PREPARING_SECONDS + engine.vitals.load_seconds
        return seconds


def computed_seconds(spec: RenderSpec, engine: Engine) -> float:
    """A step's share of a whole window on an L40S, which exceeds the denoising itself by its decoding.

    Engines on a CPU are not computed: what they render is small or a preview.
    """
    if engine.vitals.vram_total_bytes is None:
        return 0.0
    window = estimated_gpu_seconds(
        num_frames=1,
        resolution=spec.resolution,
        preset=spec.preset,
        speakers=len(spec.speech),
    )
    return window / PRESETS[spec.preset].num_inference_steps


def _kind(spec: RenderSpec, stage: str) -> Kind:
    return spec.resolution, spec.preset, len(spec.speech), stage
