"""The engine of a worker with several GPUs: it computes nothing, and coordinates the ranks that do."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import torch

from gpu_worker.engines.base import (
    EngineInfo,
    EngineJob,
    EngineVitals,
    OnStep,
    RenderedWindow,
    RenderError,
    RenderStoppedError,
    Step,
)
from gpu_worker.engines.infinitetalk.rank_messages import AtStep, Begin, Ended, WindowDone
from gpu_worker.engines.infinitetalk.rank_processes import LostRankError, RankProcesses

log = logging.getLogger(__name__)

END_SECONDS = 30.0
"""What the other ranks may take to end a render after the first that has."""


class ParallelEngine:
    """Renders each job with several GPUs.

    Whatever ends a render early, other than a stop, leaves the ranks at different places. They are then ended
    together, and started anew for the next job. A rank that dies ends the attempt as `worker_lost`, which is
    retryable.

    Args:
        num_gpus: How many ranks share a render.

    Raises:
        RenderError: `model_unavailable`, when there are fewer GPUs or a rank can't load its models.
    """

    def __init__(self, num_gpus: int) -> None:
        available = torch.cuda.device_count()
        if torch.cuda.is_available() and available < num_gpus:
            raise RenderError(
                "model_unavailable", f"WORKER_GPUS is {num_gpus}, but there are {available} GPUs."
            )
        self._num_gpus = num_gpus
        try:
            self._ranks: RankProcesses | None = RankProcesses(num_gpus)
        except LostRankError as error:
            raise RenderError("model_unavailable", "The models could not be loaded on all GPUs.") from error
        self._info, self._vitals = self._ranks.ready.info, self._ranks.ready.vitals

    @property
    def info(self) -> EngineInfo:
        details = {**self._info.details, "gpus": self._num_gpus}
        return replace(self._info, details=details)

    @property
    def vitals(self) -> EngineVitals:
        """Those of the first rank, at its last step."""
        return self._vitals

    def render(self, job: EngineJob, on_step: OnStep) -> Iterator[RenderedWindow]:
        """Yield the windows from `job.next_window` on; see `Engine.render`."""
        in_step = False
        try:
            yield from self._windows(self._begin(job), on_step)
            in_step = True
        except RenderStoppedError:
            in_step = True
            raise
        except LostRankError as error:
            log.exception("the render is lost")
            raise RenderError("worker_lost", "A GPU that shared the render was lost.") from error
        finally:
            # Also where the caller has given up: ranks in the middle of a render are of no use for the next.
            if not in_step:
                self._end_ranks()

    def _begin(self, job: EngineJob) -> RankProcesses:
        if self._ranks is None:
            self._ranks = RankProcesses(self._num_gpus)
        self._ranks.send(Begin(job))
        return self._ranks

    def _end_ranks(self) -> None:
        if self._ranks is not None:
            log.warning("the ranks are ended; the next job starts them anew")
            self._ranks.end()
            self._ranks = None

    def _windows(self, ranks: RankProcesses, on_step: OnStep) -> Iterator[RenderedWindow]:
        """The windows; raises how the ranks have ended."""
        endings: dict[int, Ended] = {}
        while len(endings) < self._num_gpus:
            rank, message = ranks.receive(END_SECONDS if endings else None)
            match message:
                case AtStep():
                    self._vitals = message.vitals
                    ranks.send(on_step(_step(message)))
                case WindowDone(window):
                    yield window
                case Ended(error=None, crash=None):
                    endings[rank] = message
                case Ended(error=error, crash=crash):
                    if error is not None:
                        raise RenderError(*error)
                    raise LostRankError(f"rank {rank} has failed with {crash}")
        self._info = endings[0].info
        if any(ending.stopped for ending in endings.values()):
            raise RenderStoppedError(endings[0].step_state)


def _step(message: AtStep) -> Step:
    state = message.state
    return Step(
        message.window,
        message.step,
        message.steps,
        message.stage,
        None if state is None else lambda: state,
    )
