"""A stand-in for a GPU: it paints frames whose pixels tell their number and the states they came through.

It obeys files in the folder of PAINTED_GATES, so that a test can hold it at a step for as long as it
likes: the engine writes `at-<window>-<step>` when it comes there, and waits while `hold-<window>-<step>`
exists.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpu_worker.contract.windows import Window
from gpu_worker.engines.base import (
    EngineInfo,
    EngineJob,
    EngineVitals,
    OnStep,
    RenderedWindow,
    RenderStoppedError,
    Step,
)

STEPS = 4
WIDTH, HEIGHT, BITS = 128, 64, 16


class PaintedEngine:
    """Every step adds its number to an ink; each frame shows ink and frame number in black and white.

    The ink starts from the window before, so a render that goes on from another state looks different.
    """

    info = EngineInfo("painted", "test", {"precision": "exact"}, denoises=True)
    vitals = EngineVitals(load_seconds=2.0, loaded_bytes=10**9)

    def __init__(self, gates: Path | None = None) -> None:
        self.gates = gates or Path(os.environ["PAINTED_GATES"])
        self.steps_done: list[tuple[int, int]] = []

    def render(self, job: EngineJob, on_step: OnStep) -> Iterator[RenderedWindow]:
        ink, first_step = _read(job.window_state)[0] or job.seed, 0
        if job.step_state is not None:
            ink, first_step = _read(job.step_state)
        for window in job.windows[job.next_window :]:
            for step in range(first_step, STEPS):
                state = _write(ink, step)
                if not on_step(Step(window.index, step, STEPS, "sampling", lambda state=state: state)):
                    raise RenderStoppedError(state)
                self._wait_at_gate(window.index, step)
                ink = (ink * 31 + step + 1) % 2**BITS
                self.steps_done.append((window.index, step))
            first_step = 0
            yield RenderedWindow(window.index, paint(window, ink), _write(ink, 0))

    def _wait_at_gate(self, window: int, step: int) -> None:
        (self.gates / f"at-{window}-{step}").touch()
        while (self.gates / f"hold-{window}-{step}").exists():
            time.sleep(0.005)


def paint(window: Window, ink: int) -> npt.NDArray[np.uint8]:
    frames = np.zeros((window.num_frames, HEIGHT, WIDTH, 3), np.uint8)
    for offset, frame in enumerate(frames):
        for row, number in enumerate((ink, window.start + offset)):
            bits = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8) * 255
            frame[row * HEIGHT // 2 : (row + 1) * HEIGHT // 2] = np.repeat(bits, WIDTH // BITS)[None, :, None]
    return frames


def read_back(frame: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Ink and number of a decoded frame."""
    bits = frame[HEIGHT // 4 :: HEIGHT // 2, WIDTH // BITS // 2 :: WIDTH // BITS, 1] > 127
    ink, number = (int(sum(1 << place for place in np.flatnonzero(row))) for row in bits)
    return ink, number


def _write(ink: int, step: int) -> bytes:
    return f"{ink} {step}".encode()


def _read(state: bytes | None) -> tuple[int, int]:
    if state is None:
        return 0, 0
    ink, step = state.split()
    return int(ink), int(step)
