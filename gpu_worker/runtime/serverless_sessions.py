"""A worker on demand: it renders in turns, when its parent says so, and keeps its models between them.

Both speak JSON lines over a socket. The parent: `{"turn": 1, "seconds": 480, "limit": 600}` begins a turn,
which lasts `seconds` at most and is handed back within `limit`; `{"end": 1}` ends it early. The worker:
`{"ready": true}` once its models are loaded, and after each turn `{"turn": 1, "attempts": 2, "seconds":
17.4}`. When the parent is gone the worker hands back what it has in work, and ends.
"""

import json
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from gpu_worker.contract.turns import HAND_BACK_SECONDS
from gpu_worker.runtime import rq_worker
from gpu_worker.runtime.context import WorkerContext
from gpu_worker.runtime.shutdown import LIMIT_SECONDS, REPORT_SECONDS
from gpu_worker.runtime.turn_time import TurnTime

log = logging.getLogger(__name__)

IDLE_SECONDS = 5.0
"""How long a turn waits for control to send the next job after one has ended, before it ends itself."""
POLL_SECONDS = 0.2


class Turns:
    """The worker's end of the line.

    Args:
        worker: The host that renders.
        channel: Connected to the parent.
        leave: Ends the process in the middle of a step; called when a step outlasts its turn.
    """

    def __init__(self, worker: WorkerContext, channel: socket.socket, leave: Callable[[], None]) -> None:
        self._worker = worker
        self._channel = channel
        self._leave = leave
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue()

    def serve(self, redis_url: str) -> None:
        """Render in turns until the process is to end."""
        threading.Thread(target=self._listen, name="turns", daemon=True).start()
        self._say({"ready": True})
        while not self._worker.shutdown.is_set():
            try:
                request = self._requests.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            self._say({"turn": request["turn"], **self._render(request, redis_url)})

    def _render(self, request: dict[str, Any], redis_url: str) -> dict[str, Any]:
        began, attempts = time.monotonic(), self._worker.attempts
        self._worker.turn_time = TurnTime(request["limit"] - HAND_BACK_SECONDS)
        clocks = (
            threading.Timer(request["seconds"], self._worker.end_turn),
            threading.Timer(request["limit"] - LIMIT_SECONDS, self._leave_step_in_work),
        )
        for clock in clocks:
            clock.start()
        try:
            rq_worker.serve(self._worker, redis_url, IDLE_SECONDS)
        finally:
            for clock in clocks:
                clock.cancel()
        self._worker.outbox.flush(REPORT_SECONDS)
        return {
            "attempts": self._worker.attempts - attempts,
            "seconds": round(time.monotonic() - began, 1),
        }

    def _leave_step_in_work(self) -> None:
        """The last resort against a step longer than any before: a new process, but no lost attempt."""
        if self._worker.attempt is not None:
            self._leave()

    def _listen(self) -> None:
        with self._channel.makefile("r") as lines:
            for line in lines:
                request = json.loads(line)
                if "end" in request:
                    self._worker.end_turn()
                else:
                    self._worker.turn_over.clear()
                    self._requests.put(request)
        log.info("the parent is gone")
        self._worker.stop()

    def _say(self, answer: dict[str, Any]) -> None:
        try:
            self._channel.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            log.info("the parent doesn't listen any more")
