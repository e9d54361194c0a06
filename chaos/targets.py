"""How soon lost attempts are noticed and free workers get a job, against what is promised of both."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import Error, connections
from redis import Redis
from redis.exceptions import RedisError

from chaos import table
from chaos.table import percentile
from gpu_worker.contract.engines import EngineName
from jobs.models import JobEvent
from jobs.scheduling import dispatch, queries
from jobs.scheduling.workers import read_workers

KNOWN_SECONDS = 15.0
SILENT_SECONDS = 75.0
IDLE_SECONDS = 1.0
SAMPLE_SECONDS = 0.25
SILENT = "silent"


@dataclass(frozen=True)
class Outage:
    """When control could neither hear workers nor send them anything."""

    begin: datetime
    end: datetime

    def seconds_within(self, begin: datetime, end: datetime) -> float:
        return max(0.0, (min(self.end, end) - max(self.begin, begin)).total_seconds())


@dataclass(frozen=True)
class Loss:
    """A lost attempt: how it was noticed, and after how many seconds, those of outages left out."""

    job_id: str
    reason: str
    seconds: float

    @property
    def is_known(self) -> bool:
        return self.reason != SILENT


def losses(outages: Sequence[Outage]) -> list[Loss]:
    """The attempts that were given up, by what the database has noted of them."""
    found = []
    for event in JobEvent.objects.filter(type="lost"):
        silent = float(event.data["silent_seconds"])
        begin = event.created_at - timedelta(seconds=silent)
        away = sum(outage.seconds_within(begin, event.created_at) for outage in outages)
        found.append(Loss(event.job_id, event.data["reason"], max(0.0, silent - away)))
    return found


def missed(found: Sequence[Loss], idle: Sequence[float]) -> Iterator[str]:
    """A sentence for each target that was missed."""
    known = percentile([loss.seconds for loss in found if loss.is_known], 95)
    if known > KNOWN_SECONDS:
        yield f"lost attempts that somebody knew of were noticed after {known:.1f} s (p95)"
    silent = max((loss.seconds for loss in found if not loss.is_known), default=0.0)
    if silent > SILENT_SECONDS:
        yield f"a silent worker was given up after {silent:.1f} s"
    if percentile(idle, 95) > IDLE_SECONDS:
        yield f"free workers waited {percentile(idle, 95):.1f} s for jobs that were there (p95)"


def show(found: Sequence[Loss], idle: Sequence[float]) -> None:
    known = [loss.seconds for loss in found if loss.is_known]
    silent = [loss.seconds for loss in found if not loss.is_known]
    table.show(
        {
            "losses that somebody knew of": len(known),
            "seconds until they were noticed, p95 (target 15)": f"{table.percentile(known, 95):.1f}",
            "losses by silence": len(silent),
            "seconds until they were noticed, most (target 75)": f"{max(silent, default=0.0):.1f}",
            "seconds a free worker waited for a job, p95 (target 1)": f"{table.percentile(idle, 95):.2f}",
        }
    )


class IdleWatch:
    """Looks for workers that say that they are free while there are jobs for them.

    Attributes:
        seconds: How long each time, until a job was sent; outages are left out.
    """

    def __init__(self, redis_url: str) -> None:
        self.seconds: list[float] = []
        self._redis = Redis.from_url(redis_url, socket_timeout=1)
        self._since: dict[EngineName, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="idle watch", daemon=True)

    def __enter__(self) -> "IdleWatch":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            try:
                for engine in EngineName:
                    self._look(engine)
            except (Error, RedisError):
                self._since.clear()
                connections.close_all()
        connections.close_all()

    def _look(self, engine: EngineName) -> None:
        workers, at_work = read_workers(engine, self._redis), queries.at_work(engine)
        places = dispatch.free_places(at_work, workers) if workers.number else 0
        if places and dispatch.choose(engine, places):
            self._since.setdefault(engine, time.monotonic())
        elif engine in self._since:
            self.seconds.append(time.monotonic() - self._since.pop(engine))
