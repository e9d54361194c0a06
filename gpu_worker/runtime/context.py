"""What lives as long as the worker process: its engine, its connections, the wish to end."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from django.core.files.storage import Storage
from redis import Redis
from redis.exceptions import RedisError

from gpu_worker.common.scratch import Scratch
from gpu_worker.contract.coordination import Stop
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.heartbeats import Heartbeat, Process
from gpu_worker.contract.lanes import LANES, lanes_for
from gpu_worker.engines.base import Engine
from gpu_worker.runtime.report_outbox import Outbox
from gpu_worker.runtime.step_times import StepTimes
from gpu_worker.runtime.turn_time import TurnTime


class RunningAttempt(Protocol):
    """What the process needs of the attempt in work."""

    @property
    def job_id(self) -> str: ...

    @property
    def number(self) -> int:
        """Which attempt at the job it is."""
        ...

    @property
    def seconds(self) -> float:
        """How long it has held the worker so far."""
        ...

    def run(self) -> None: ...

    def stop(self, stop: Stop) -> None:
        """Stop at the next step."""
        ...

    def leave_at_once(self, timeout: float) -> None:
        """Hand back in the middle of a step."""
        ...


@dataclass
class WorkerContext:
    """The render worker that a task runs in.

    Attributes:
        name: The worker's name, as RQ and the leases know it.
        shutdown: Set once the process is to end.
        turn_over: Set once no further job may begin in this turn; only a worker on demand has turns.
        turn_time: What this turn has; None for a worker without turns.
        step_times: How long steps take here.
        next_refusal: When, on the monotonic clock, a spec of another version may be handed back again.
        attempts: How many attempts have begun.
        attempt: The attempt in work.
        storage_errors: How often the object store has failed a try.
        taking: Whether jobs are taken from the queue.
        on_change: Called when a job begins or ends, or the taking of jobs.
    """

    name: str
    engine_name: EngineName
    engine: Engine
    redis: Redis
    storage: Storage
    outbox: Outbox
    scratch: Scratch
    shutdown: threading.Event = field(default_factory=threading.Event)
    turn_over: threading.Event = field(default_factory=threading.Event)
    turn_time: TurnTime | None = None
    step_times: StepTimes = field(default_factory=StepTimes)
    next_refusal: float = 0.0
    attempts: int = 0
    attempt: RunningAttempt | None = None
    storage_errors: int = 0
    taking: bool = False
    on_change: Callable[[], None] | None = None
    _last: Heartbeat | None = None
    _last_changed: float = 0.0
    _ended_seconds: float = 0.0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def run(self, attempt: RunningAttempt) -> None:
        """Run an attempt so that `stop` reaches it."""
        self.attempt = attempt
        self.attempts += 1
        self._notify_change()
        if self.shutdown.is_set():
            attempt.stop(Stop.SHUTDOWN)
        elif self.turn_over.is_set():
            attempt.stop(Stop.YIELD)
        try:
            attempt.run()
        finally:
            with self._counting:
                self.attempt = None
                self._ended_seconds += attempt.seconds
            self._notify_change()

    def take_jobs(self, taking: bool) -> None:
        """Say whether the next job of the queue would be taken."""
        self.taking = taking
        self._notify_change()

    def heartbeat(self, process: Process | None) -> Heartbeat:
        """What there is to say at this moment."""
        with self._counting:
            attempt = self.attempt
            in_work = [(attempt.job_id, attempt.number)] if attempt else []
            now = Heartbeat(
                name=self.name,
                engine=self.engine_name,
                taking=self.taking and self.may_begin,
                attempts=tuple(dict.fromkeys([*in_work, *self.outbox.attempts])),
                rendering=attempt is not None,
                same_for_seconds=0.0,
                process=process,
                presets=tuple(sorted(self.engine.info.presets)),
            )
            if now != self._last:
                self._last, self._last_changed = now, time.monotonic()
            return replace(now, same_for_seconds=round(time.monotonic() - self._last_changed, 2))

    def _notify_change(self) -> None:
        if self.on_change is not None:
            with suppress(RedisError):  # The next heartbeat says it.
                self.on_change()

    def count_storage_error(self) -> None:
        with self._counting:
            self.storage_errors += 1

    @property
    def render_seconds(self) -> float:
        """How long attempts have held the worker, the one in work included."""
        with self._counting:
            return self._ended_seconds + (self.attempt.seconds if self.attempt else 0.0)

    @property
    def queues(self) -> list[str]:
        """The queues that jobs are taken from."""
        lanes = lanes_for(self.engine_name, self.engine.info.presets)
        return [lane.queue for lane in LANES if lane in lanes]

    @property
    def may_begin(self) -> bool:
        """Whether another job may begin."""
        return not (self.shutdown.is_set() or self.turn_over.is_set())

    def end_turn(self) -> None:
        """Begin no further job in this turn, and hand the one in work back at its next step."""
        self.turn_over.set()
        if attempt := self.attempt:
            attempt.stop(Stop.YIELD)

    def stop(self) -> None:
        """Begin no further job, and stop the one in work at its next step."""
        self.shutdown.set()
        if attempt := self.attempt:
            attempt.stop(Stop.SHUTDOWN)


_installed: WorkerContext | None = None


def install(host: WorkerContext) -> None:
    """Make `host` the one that tasks run in: RQ calls them by name and hands them nothing but the spec."""
    global _installed
    _installed = host


def current() -> WorkerContext:
    assert _installed is not None, "a render task runs in a render worker only"
    return _installed
