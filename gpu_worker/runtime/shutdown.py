"""How the worker ends when it is asked to: within ten seconds, whatever it is doing.

A signal only wakes a thread. The render stops at its next step and hands its state back; a step that
takes longer than that (minutes, on a large picture) is left in the middle, with the state of the last
finished one, because whoever asked is going to kill the process soon.
"""

import logging
import os
import threading

from gpu_worker.runtime import heartbeat
from gpu_worker.runtime.context import WorkerContext
from gpu_worker.runtime.signals import on_interrupt

log = logging.getLogger(__name__)

STEP_SECONDS = 5.0  # what a step may take to its end
WINDOW_SECONDS = 1.5  # what a window on its way to the store may take then
REPORT_SECONDS = 1.5  # what the last reports may take then
LIMIT_SECONDS = 9.5  # when the process is gone, whatever hangs


class Shutdown:
    """Ends the process on behalf of a host."""

    def __init__(self, worker: WorkerContext) -> None:
        self._worker = worker
        self._finished = threading.Event()

    def listen(self) -> None:
        """React to SIGTERM and SIGINT from now on; from the main thread only."""
        on_interrupt(self._end)

    def finished(self) -> None:
        """The main thread has come to its end by itself."""
        self._finished.set()

    def _end(self) -> None:
        limit = threading.Timer(LIMIT_SECONDS, os._exit, [1])
        limit.daemon = True
        limit.start()
        self._worker.stop()
        log.info("asked to end")
        if not self._finished.wait(STEP_SECONDS):
            self.leave_in_the_middle()

    def leave_in_the_middle(self) -> None:
        """End the process now, with the state of the last finished step."""
        log.warning("the step in work takes too long, leaving it")
        try:
            if attempt := self._worker.attempt:
                attempt.leave_at_once(WINDOW_SECONDS)
            self._worker.outbox.flush(REPORT_SECONDS)
            heartbeat.forget(self._worker)
        except Exception:
            log.exception("the attempt could not be handed back")
        finally:
            os._exit(0)
