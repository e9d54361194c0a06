"""What every engine offers to the render task: a stream of windows that can stop and go on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gpu_worker.contract.framing import Box
from gpu_worker.contract.presets import PRESETS, PresetName, Sampling
from gpu_worker.contract.spec import ReferenceKind, RenderParameters
from gpu_worker.contract.windows import Window


@dataclass(frozen=True, kw_only=True)
class EngineJob(RenderParameters):
    """One video to render, its inputs already on local disk.

    Attributes:
        reference: Normalised picture (PNG, upright, sRGB, no alpha) or video (H.264 MP4).
        speech: One or two normalised recordings (FLAC, at their own rate and loudness).
        num_frames: Length of the video at 25 fps.
        sampling: What an engine that denoises samples with.
        crop: The part of the reference that is rendered; None: the preview shows all of it, and the model
            the middle.
        next_window: Index of the first window to render; those before are finished already.
        window_state: What the window before `next_window` left, or None for the first.
        step_state: What a stop inside `next_window` left, or None.
    """

    reference: Path
    reference_kind: ReferenceKind
    speech: tuple[Path, ...]
    num_frames: int
    sampling: Sampling
    crop: Box | None = None
    next_window: int = 0
    window_state: bytes | None = None
    step_state: bytes | None = None

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows of the whole video."""
        return PRESETS[self.preset].windows.plan(self.num_frames)


@dataclass(frozen=True)
class RenderedWindow:
    """The new frames of one window, and the state from which the next one starts.

    Attributes:
        index: As in the plan of the preset's `WindowShape`.
        frames: uint8 RGB [num_frames, height, width, 3]; width and height are even.
        state: Safetensors bytes for `EngineJob.window_state`; None where an engine needs none.
    """

    index: int
    frames: npt.NDArray[np.uint8]
    state: bytes | None


@dataclass(frozen=True)
class Step:
    """A place between two steps of a window; the engine asks `on_step` there whether to go on.

    Attributes:
        step: Steps of this window that are finished.
        state: Gives what a stop right here would leave (as `RenderStoppedError.step_state`), from any
            thread, until the next step is announced; so a worker that must go at once need not wait for
            the end of a long step. None where an engine keeps no such state.
    """

    window: int
    step: int
    steps: int
    stage: str
    state: Callable[[], bytes] | None = None


class RenderStoppedError(Exception):
    """The render was asked to stop between two steps.

    Attributes:
        step_state: Safetensors bytes from which the same window goes on; None: from its start.
    """

    def __init__(self, step_state: bytes | None = None) -> None:
        super().__init__("stopped between two steps")
        self.step_state = step_state


class RenderError(Exception):
    """A render that can't succeed, with the contract's job error code and a sentence for the user."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class EngineInfo:
    """What the receipt says of an engine: its name, model revisions, precision and device.

    Attributes:
        denoises: Whether a window takes the denoising steps of its preset.
        carries_state: Whether a window starts from a state that the one before it has left.
        presets: Those that it has weights for.
    """

    engine: str
    device: str
    details: dict[str, Any] = field(default_factory=dict)
    denoises: bool = False
    carries_state: bool = True
    presets: frozenset[PresetName] = frozenset(PRESETS)


@dataclass(frozen=True)
class EngineVitals:
    """How an engine does at this moment, as `WorkerFacts` explains; by default one that has no weights."""

    load_seconds: float = 0.0
    loaded_bytes: int = 0
    vram_used_bytes: int | None = None
    vram_total_bytes: int | None = None
    vram_peak_bytes: int | None = None
    utilisation: float | None = None
    uncompiled_calls: int = 0


OnStep = Callable[[Step], bool]
"""Called between steps; an answer of False asks the engine to stop there."""


class Engine(Protocol):
    """A renderer that stays resident in its worker between jobs."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def vitals(self) -> EngineVitals:
        """Asked in mid-render, from another thread."""
        ...

    def render(self, job: EngineJob, on_step: OnStep) -> Iterator[RenderedWindow]:
        """Yield the windows from `job.next_window` on.

        Raises:
            RenderError: The inputs can't be rendered, e.g. `face_not_found`.
            RenderStoppedError: `on_step` answered False.
        """
        ...
