"""Looks for render workers that say that they are free while there are jobs for them."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import Error, connections
from redis import Redis
from redis.exceptions import RedisError

from gpu_worker.contract.engines import EngineName
from jobs.scheduling import dispatch, queries
from jobs.scheduling.workers import read_workers

SAMPLE_SECONDS = 0.25


@dataclass(frozen=True)
class Wait:
    """A time in which a free worker and a job for it were there, until the job was sent."""

    begin: datetime
    end: datetime


class IdleWatch:
    """Looks, in a thread of its own, for as long as its block lasts.

    Attributes:
        waits: What was found; where Redis or Postgres is away, nothing can be.
        looks: How many seconds each look took. It asks what dispatch asks, so it says how fast this machine
            is at the moment.
    """

    def __init__(self, redis_url: str) -> None:
        self.waits: list[Wait] = []
        self.looks: list[float] = []
        self._redis = Redis.from_url(redis_url, socket_timeout=1)
        self._since: dict[EngineName, datetime] = {}
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
            began = time.monotonic()
            try:
                for engine in EngineName:
                    self._look(engine)
            except (Error, RedisError):
                self._since.clear()
                connections.close_all()
            else:
                self.looks.append(time.monotonic() - began)
        connections.close_all()

    def _look(self, engine: EngineName) -> None:
        workers, at_work = read_workers(engine, self._redis), queries.at_work(engine)
        places = dispatch.free_places(at_work, workers) if workers.number else 0
        now = datetime.now(UTC)
        if places and dispatch.choose(engine, places):
            self._since.setdefault(engine, now)
        elif engine in self._since:
            self.waits.append(Wait(self._since.pop(engine), now))
