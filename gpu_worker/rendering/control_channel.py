"""One attempt's line to the control side: it holds the lease, hears stop requests and tells progress.

A thread does the talking, so that neither a slow step nor an absent Redis makes the other wait:
the render looks at memory only, and the lease stays held while a step takes minutes.
"""

import threading
import time
from contextlib import suppress
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from gpu_worker.contract import coordination
from gpu_worker.contract.coordination import Progress, Stop
from gpu_worker.contract.spec import RenderSpec
from gpu_worker.runtime.periodic_thread import PeriodicThread

TICK_SECONDS = 0.25


class ControlChannel:
    """The line of one attempt, open between `with` and its end.

    Attributes:
        stopping: Set once the attempt should stop at its next step, for whatever reason.
        reason: Why, as control or the worker's own end asked; None while nobody did.
        superseded: Another attempt counts by now; this one leaves without a word.
    """

    def __init__(self, redis: Redis, spec: RenderSpec, worker_name: str) -> None:
        self.stopping = threading.Event()
        self.reason: Stop | None = None
        self.superseded = False
        self._redis = redis
        self._spec = spec
        self._worker_name = worker_name
        self._progress: Progress | None = None
        self._sent: Progress | None = None
        self._lease_due = 0.0
        self._ticker = PeriodicThread(TICK_SECONDS, self._tick, f"link of {spec.job_id}")

    def __enter__(self) -> Self:
        with suppress(RedisError):  # The ticker tries again, and says so when Redis stays away.
            self._tick()
        self._ticker.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ticker.__exit__(*exc_info)

    def stop(self, reason: Stop) -> None:
        """Ask the attempt to stop at its next step; the first reason counts."""
        self.reason = self.reason or reason
        self.stopping.set()

    def tell(self, progress: Progress) -> None:
        """Show where the render is: a new stage at once, steps at the next tick; only the newest is told."""
        is_new_stage = self._progress is None or self._progress.stage != progress.stage
        self._progress = progress
        if is_new_stage:
            self._ticker.hurry()

    def _tick(self) -> None:
        self._listen()
        if time.monotonic() >= self._lease_due:
            coordination.hold_lease(self._redis, self._spec.job_id, self._spec.attempt, self._worker_name)
            self._lease_due = time.monotonic() + coordination.HEARTBEAT_SECONDS
        if self._progress is not None and self._progress != self._sent:
            progress = self._progress
            coordination.write_progress(self._redis, self._spec.job_id, progress)
            self._sent = progress

    def _listen(self) -> None:
        control = coordination.read_control(self._redis, self._spec.job_id)
        if control is None:
            return
        # A smaller number can only come from a Redis that was restored; it supersedes nobody.
        if control.attempt > self._spec.attempt:
            self.superseded = True
            self.stopping.set()
        elif control.stop is not None:
            self.stop(control.stop)
