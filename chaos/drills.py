"""Workers that are lost one by one while nothing else goes wrong: what it takes is the time to notice it.

In the storm control itself is away so often that little is left to measure.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import TypeVar

from django.db import connections

from chaos import quiescence
from chaos.customers import Customers
from chaos.faults import SERVER_SECONDS
from chaos.plan import Order, Variant
from chaos.stack import Stack
from jobs.models import Job, JobEvent
from jobs.states import FINAL, Status
from launcher.terminal import Failure

Found = TypeVar("Found")

WORKER, VARIANT = "render-gpu", Variant(True, 6.5, 8)
KILLS = 5
TICK_SECONDS = 0.05
REDIS_SECONDS = 8.0
REDIS_AFTER_SECONDS = 20.0


@dataclass(frozen=True)
class Drill:
    """A worker that was lost in the middle of a job.

    Attributes:
        job_id: The job that it had.
        reason: How control noticed.
        seconds: From the fault until then.
        redis_away: For how long Redis was away in between.
    """

    job_id: str
    reason: str
    seconds: float
    redis_away: float = 0.0


class Drills:
    """Loses a worker in each way, with a job of its own each time."""

    def __init__(self, stack: Stack, customers: Customers) -> None:
        self._stack = stack
        self._customers = customers
        self._numbers = count()

    def all(self) -> list[Drill]:
        """Kill the worker a few times; freeze it; and freeze it while Redis restarts."""
        kills = [self._until_lost(signal.SIGKILL) for _ in range(KILLS)]
        drills = [*kills, self._until_lost(signal.SIGSTOP), self._until_lost(signal.SIGSTOP, REDIS_SECONDS)]
        connections.close_all()
        return drills

    def _until_lost(self, fault: signal.Signals, redis_seconds: float = 0.0) -> Drill:
        while True:  # A job may end before it is met.
            if found := self._lose(self._job_in_work(), fault, redis_seconds):
                return found

    def _lose(self, job: Job, fault: signal.Signals, redis_seconds: float) -> Drill | None:
        """How the loss of the worker that has the job was noticed; None when the job ended before."""
        process = self._stack.processes[WORKER]
        process.send(fault)
        began = datetime.now(UTC)
        redis_away = self._restart_redis(redis_seconds) if redis_seconds else 0.0
        self._wait(lambda: _ended(job) or _loss(job) is not None)
        process.send(signal.SIGCONT)
        loss = _loss(job)
        if loss is None:
            return None
        return Drill(job.id, loss.data["reason"], (loss.created_at - began).total_seconds(), redis_away)

    def _job_in_work(self) -> Job:
        """A job that the worker has begun."""
        key = f"drill-{next(self._numbers)}"
        self._customers.place(Order(0, key, 0, VARIANT, None))

        return self._wait(lambda: Job.objects.filter(metadata__order=key, status=Status.PROCESSING).first())

    def _restart_redis(self, seconds: float) -> float:
        """Restart it with its data; returns how long it was away."""
        self._pass_time(REDIS_AFTER_SECONDS)
        began = time.monotonic()
        valkey = self._stack.processes["valkey"]
        valkey.wanted = False
        valkey.end(signal.SIGTERM, SERVER_SECONDS)
        self._pass_time(seconds)
        self._stack.restart("valkey")
        return time.monotonic() - began

    def _pass_time(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() >= until)

    def _wait(self, look: Callable[[], Found | None]) -> Found:
        """What `look` gives, once it gives anything; what ends meanwhile is started again.

        Raises:
            Failure: Nothing gets done any more, and it never does.
        """
        found: list[Found] = []

        def is_over() -> bool:
            if seen := look():
                found.append(seen)
            return bool(found)

        if not quiescence.wait(is_over, lambda: quiescence.progress_of(self._customers), self._keep):
            raise Failure(f"A worker was lost, and its job is stuck; see {self._stack.logs}.")
        return found[0]

    def _keep(self) -> None:
        self._stack.keep()
        time.sleep(TICK_SECONDS)


def _ended(job: Job) -> bool:
    return Job.objects.filter(pk=job.pk, status__in=FINAL).exists()


def _loss(job: Job) -> JobEvent | None:
    return JobEvent.objects.filter(job=job, attempt=job.attempt, type="lost").first()
