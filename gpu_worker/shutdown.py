"""How the worker ends when it is asked to: within ten seconds, whatever it is doing.

A signal only wakes a thread. The render stops at its next step and hands its state back; a step that
takes longer than that (minutes, on a large picture) is left in the middle, with the state of the last
finished one, because whoever asked is going to kill the process soon.
"""

import logging
import os
import signal
import socket
import threading

from gpu_worker.host import Host

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STEP_SECONDS = 5.0  # what a step may take to its end
WINDOW_SECONDS = 1.5  # what a window on its way to the store may take then
REPORT_SECONDS = 1.5  # what the last reports may take then
LIMIT_SECONDS = 9.5  # when the process is gone, whatever hangs


class Shutdown:
    """Listens for SIGTERM and SIGINT on behalf of a host.

    Python runs signal handlers between two byte codes of the main thread, so one long call into a
    library would delay them; the byte that a signal writes to the wake-up socket arrives at once.
    """

    def __init__(self, worker: Host) -> None:
        self._worker = worker
        self._finished = threading.Event()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    def listen(self) -> None:
        """Must be called from the main thread."""
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._run, name="shutdown", daemon=True).start()

    def finished(self) -> None:
        """The main thread has come to its end by itself."""
        self._finished.set()

    def _run(self) -> None:
        while signal.Signals(self._reader.recv(1)[0]) not in SIGNALS:
            pass
        log.info("asked to end")
        limit = threading.Timer(LIMIT_SECONDS, os._exit, [1])
        limit.daemon = True
        limit.start()
        self._worker.stop()
        if not self._finished.wait(STEP_SECONDS):
            self._leave_in_the_middle()

    def _leave_in_the_middle(self) -> None:
        log.warning("the step in work takes too long, leaving it")
        try:
            if attempt := self._worker.attempt:
                attempt.leave_at_once(WINDOW_SECONDS)
            self._worker.outbox.flush(REPORT_SECONDS)
        except Exception:
            log.exception("the attempt could not be handed back")
        finally:
            os._exit(0)
