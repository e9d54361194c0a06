"""One job on its way: where it is, and what the worker is told and asked between steps."""

from gpu_worker.engines.base import EngineJob, OnStep, Step
from InfiniteTalk.sampling import StepProgress, StopSampling
from InfiniteTalk.states import StepState, WindowState


class RenderProgress:
    """One job on its way: where it is, and what the worker is told and asked between steps.

    Attributes:
        position: What rendering goes on from.
    """

    def __init__(self, job: EngineJob, on_step: OnStep) -> None:
        self.job = job
        self.position: WindowState | StepState | None = _position(job)
        self._on_step = on_step
        self._window = job.next_window
        self._steps = len(job.sampling.timesteps)
        self._num_windows = len(job.windows)

    def after_step(self, progress: StepProgress) -> None:
        """Keep what this step made, on the host; then ask whether to go on."""
        self.position = progress.state()
        stage = "sampling" if progress.step < progress.num_inference_steps else "decoding"
        if not self.announce(stage):
            raise StopSampling

    def window_done(self, state: WindowState | None) -> bool:
        """Go on to the next window; whether the worker wants that."""
        self.position = state
        self._window += 1
        return self._window == self._num_windows or self.announce("sampling")

    def back_to_window_start(self) -> None:
        if isinstance(self.position, StepState):
            self.position = self.position.window

    def announce(self, stage: str) -> bool:
        """Tell where the render is; whether the worker wants it to go on."""
        if isinstance(self.position, StepState):
            step = Step(self._window, self.position.step, self._steps, stage, self.position.to_bytes)
        else:
            step = Step(self._window, 0, self._steps, stage)
        return self._on_step(step)


def _position(job: EngineJob) -> WindowState | StepState | None:
    if job.step_state is not None:
        return StepState.from_bytes(job.step_state)
    if job.window_state is not None:
        return WindowState.from_bytes(job.window_state)
    return None
