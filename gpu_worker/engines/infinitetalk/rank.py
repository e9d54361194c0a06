"""One rank of a worker with several GPUs: `python -m gpu_worker.engines.infinitetalk.rank RANK SIZE FD URL`.

It loads the models, meets the other ranks at URL, and renders what the worker sends over the socket FD. When
the worker is gone, this process ends at once, whatever it is doing.
"""

import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection

from gpu_worker.common import logs
from gpu_worker.engines.base import RenderError, RenderStoppedError, Step
from gpu_worker.engines.infinitetalk.engine import InfiniteTalkEngine
from gpu_worker.engines.infinitetalk.rank_messages import AtStep, Begin, Ended, Ready, WindowDone
from InfiniteTalk.parallel import ParallelismError, Ranks

log = logging.getLogger("gpu_worker.rank")

EX_CONFIG = 78


class Coordinator:
    """The rank's end of the line to its worker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._received: queue.Queue[Begin | bool] = queue.Queue()
        threading.Thread(target=self._listen, name="worker", daemon=True).start()

    def next_job(self) -> Begin:
        """Wait for a job."""
        begin = self._received.get()
        assert isinstance(begin, Begin)
        return begin

    def answer(self) -> bool:
        """Wait for the answer to a step: whether to go on."""
        answer = self._received.get()
        assert isinstance(answer, bool)
        return answer

    def send(self, message: Ready | AtStep | WindowDone | Ended) -> None:
        self._connection.send(message)

    def _listen(self) -> None:
        try:
            while True:
                self._received.put(self._connection.recv())
        except (EOFError, OSError):
            os._exit(0)  # The main thread may be inside a kernel, or wait for ranks that are gone, too.


def serve(engine: InfiniteTalkEngine, ranks: Ranks, coordinator: Coordinator) -> None:
    """Render job after job until the process is ended."""
    while True:
        coordinator.send(_render(engine, ranks, coordinator))


def _render(engine: InfiniteTalkEngine, ranks: Ranks, coordinator: Coordinator) -> Ended:
    job = coordinator.next_job().job

    def on_step(step: Step) -> bool:
        if ranks.is_first:
            state = step.state() if step.state else None
            coordinator.send(AtStep(step.window, step.step, step.steps, step.stage, state, engine.vitals))
        return coordinator.answer()

    try:
        for window in engine.render(job, on_step):
            if ranks.is_first:
                coordinator.send(WindowDone(window))
    except RenderStoppedError as stop:
        return Ended(engine.info, stopped=True, step_state=stop.step_state)
    except RenderError as error:
        return Ended(engine.info, error=(error.code, error.detail))
    except Exception as error:
        log.exception("rank %d has failed", ranks.rank)
        return Ended(engine.info, crash=type(error).__name__)
    return Ended(engine.info)


def main(arguments: Sequence[str]) -> int:
    rank, size, descriptor, url = int(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # The worker alone decides when its ranks end.
    logs.to_stderr()
    coordinator, ranks = Coordinator(Connection(descriptor)), Ranks(rank, size, local_rank=rank)
    try:
        with ranks.connected(url):
            engine = InfiniteTalkEngine.from_environment(ranks)
            coordinator.send(Ready(engine.info, engine.vitals))
            serve(engine, ranks, coordinator)
    except (RenderError, ParallelismError) as error:
        log.critical("%s", error)
        return EX_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
