"""What the ranks of a render and the worker that coordinates them say to each other.

The worker sends `Begin`, and after each `AtStep` of the first rank its answer, a bool, to all ranks. Every
rank sends `Ready` once and `Ended` for each `Begin`; steps and windows come from the first rank alone.
"""

from dataclasses import dataclass

from gpu_worker.engines.base import EngineInfo, EngineJob, EngineVitals, RenderedWindow


@dataclass(frozen=True)
class Begin:
    """Render a job."""

    job: EngineJob


@dataclass(frozen=True)
class Ready:
    """The models are loaded."""

    info: EngineInfo
    vitals: EngineVitals


@dataclass(frozen=True)
class AtStep:
    """The ranks are between two steps, and wait for an answer. As `Step`, with the state itself.

    Attributes:
        state: What a stop right here would leave; None where that is nothing.
    """

    window: int
    step: int
    steps: int
    stage: str
    state: bytes | None
    vitals: EngineVitals


@dataclass(frozen=True)
class WindowDone:
    """A window is rendered."""

    window: RenderedWindow


@dataclass(frozen=True)
class Ended:
    """A rank has ended a render.

    Attributes:
        info: What the receipt says of it.
        stopped: Whether it was asked to stop.
        step_state: What the stop has left.
        error: Code and detail of a RenderError.
        crash: Type of an error that nobody expected; its traceback is in the rank's log.
    """

    info: EngineInfo
    stopped: bool = False
    step_state: bytes | None = None
    error: tuple[str, str] | None = None
    crash: str | None = None


Message = Ready | AtStep | WindowDone | Ended
