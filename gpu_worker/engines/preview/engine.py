"""The preview engine: a stream of windows like any engine's, made on a CPU without a state to carry."""

from collections.abc import Iterator

import cv2
import numpy as np

from gpu_worker.contract.spec import SpeakingOrder
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
from gpu_worker.engines.preview import model_files
from gpu_worker.engines.preview.acting import Acting, act
from gpu_worker.engines.preview.face import FaceFinder
from gpu_worker.engines.preview.scenes import Scene, open_scene
from gpu_worker.engines.preview.speech import SpeechAnalysis, analyse, mouth_curves

STEP_FRAMES = 12
"""Between two questions whether to go on."""
MAX_THREADS = 4
"""Of OpenCV: its operations on one face are too small to gain from more."""


class PreviewEngine:
    """Moves the faces of a picture with the speech.

    Every frame is a function of the job and its own index, so a render goes on at any window
    without a state, and gives the very frames that an undisturbed one does.
    """

    vitals = EngineVitals()

    def __init__(self) -> None:
        cv2.setNumThreads(min(MAX_THREADS, cv2.getNumThreads()))
        self._finder = FaceFinder()
        self.info = EngineInfo(
            engine="preview",
            device="cpu",
            details={"models": dict(model_files.SHA256)},
            carries_state=False,
        )

    def render(self, job: EngineJob, on_step: OnStep) -> Iterator[RenderedWindow]:
        """Yield the windows from `job.next_window` on.

        Raises:
            RenderError: `face_not_found`.
            RenderStoppedError: `on_step` answered False.
        """
        windows = job.windows[job.next_window :]
        _ask(on_step, windows[0], 0, "encoding")
        actors = _direct(job)
        scene = open_scene(job, self._finder)
        for window in windows:
            yield RenderedWindow(window.index, _render(scene, actors, window, on_step), state=None)


def _direct(job: EngineJob) -> tuple[Acting, ...]:
    """What each speaker does, from the first to the last frame."""
    analyses = [analyse(path) for path in job.speech]
    starts = _start_hops(analyses, job.speaking_order)
    return tuple(
        act(mouth_curves(analysis, start, job.num_frames), job.seed, speaker)
        for speaker, (analysis, start) in enumerate(zip(analyses, starts, strict=True))
    )


def _start_hops(analyses: list[SpeechAnalysis], order: SpeakingOrder) -> list[int]:
    """When each speaker begins, in hops of the analysis."""
    if len(analyses) == 1 or order is SpeakingOrder.TOGETHER:
        return [0] * len(analyses)
    first, second = (len(analysis.vowel) for analysis in analyses)
    return [0, first] if order is SpeakingOrder.FIRST_THEN_SECOND else [second, 0]


def _render(scene: Scene, actors: tuple[Acting, ...], window: Window, on_step: OnStep) -> np.ndarray:
    frames = np.empty((window.num_frames, scene.height, scene.width, 3), np.uint8)
    for index, frame in enumerate(frames):
        if index % STEP_FRAMES == 0:
            _ask(on_step, window, index // STEP_FRAMES, "sampling")
        scene.draw(window.start + index, actors, out=frame)
    return frames


def _ask(on_step: OnStep, window: Window, step: int, stage: str) -> None:
    """Go on only if `on_step` says so.

    Raises:
        RenderStoppedError: It does not.
    """
    steps = -(-window.num_frames // STEP_FRAMES)
    if not on_step(Step(window.index, step, steps, stage)):
        raise RenderStoppedError
