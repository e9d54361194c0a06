"""The clients of Redis, one for each purpose, with the time-outs that fit it.

A Redis that doesn't answer at all, frozen rather than down, would cost a request a time-out for each command.
So after a time-out Redis counts as away for a moment in the whole process: further commands fail at once.
"""

import time
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from redis import ConnectionPool, Redis, asyncio, exceptions
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry

# What a command of a request, a task or a periodic step may take. None of them waits for anything.
COMMAND_SECONDS = 0.6
# A request waits no longer than this for the limiter.
RATE_LIMIT_SECONDS = 0.25
# Longer than that Redis doesn't count as ready.
READINESS_SECONDS = 0.8
# A worker's command that waits for an entry lasts a second or so.
WORKER_SECONDS = 10.0
# So long a Redis that has timed out isn't asked again.
AWAY_SECONDS = 1.0


class Absence:
    """Until when Redis counts as away in this process, on the monotonic clock."""

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def lasts(self) -> bool:
        return time.monotonic() < self._until

    def begin(self) -> None:
        self._until = time.monotonic() + AWAY_SECONDS


absence = Absence()

if TYPE_CHECKING:
    Base = AbstractConnection
else:
    Base = object


class BoundedConnection(Base):
    """A connection that notes a time-out, and isn't made while one has just been noted."""

    def connect(self) -> None:
        if absence.lasts:
            raise exceptions.ConnectionError("Redis didn't answer a moment ago")
        try:
            super().connect()
        except exceptions.TimeoutError:
            absence.begin()
            raise

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except exceptions.TimeoutError:
            absence.begin()
            raise


def redis_client() -> Redis:
    """For the queues and for coordination with workers: a connection of the caller's, who closes it."""
    return Redis.from_pool(_bounded_pool(settings.REDIS_URL, COMMAND_SECONDS))


def quick_client() -> Redis:
    """For counting and looking up what was measured: one pool of connections a process."""
    return _quick_client(settings.REDIS_URL)


@cache
def _quick_client(url: str) -> Redis:
    return Redis.from_pool(_bounded_pool(url, COMMAND_SECONDS))


def readiness_client() -> Redis:
    """For the question whether Redis answers; the caller closes it."""
    return Redis.from_url(
        settings.REDIS_URL, socket_timeout=READINESS_SECONDS, socket_connect_timeout=READINESS_SECONDS
    )


def rate_limit_pool() -> ConnectionPool:
    """For the rate limiter: it tries once, and then the request passes."""
    return _bounded_pool(settings.REDIS_URL, RATE_LIMIT_SECONDS)


def worker_client() -> Redis:
    """For a process that takes entries from a queue: its commands may wait, and it knows how to go on."""
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=WORKER_SECONDS,
        socket_connect_timeout=WORKER_SECONDS / 2,
        retry=Retry(NoBackoff(), 1),
    )


def subscriber(url: str) -> asyncio.Redis:
    """For a subscription, which may hear nothing for hours."""
    return asyncio.Redis.from_url(url)


def is_away(error: RedisError) -> bool:
    """Whether Redis itself is away, full or on its way up, rather than a key being of the wrong kind."""
    return not isinstance(error, ResponseError) or isinstance(error, (OutOfMemoryError, ReadOnlyError))


def _bounded_pool(url: str, seconds: float) -> ConnectionPool:
    # The second try is for a connection that a restart of Redis has cut, and not for a time-out.
    retry = Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,))
    pool = ConnectionPool.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=retry)
    pool.connection_class = _bounded(pool.connection_class)
    return pool


@cache
def _bounded(connection_class: type) -> type:
    """Over a Unix socket, TCP or TLS."""
    return type(f"Bounded{connection_class.__name__}", (BoundedConnection, connection_class), {})
