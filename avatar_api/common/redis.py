"""The clients of Redis, one for each purpose, with the time-outs that fit it."""

from functools import cache

from django.conf import settings
from redis import ConnectionPool, Redis, asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

# Counting and looking up what was measured: it holds nobody up.
QUICK_SECONDS = 1.0
# A request waits no longer than this for the limiter.
RATE_LIMIT_SECONDS = 0.25
# Longer than that Redis doesn't count as ready.
READINESS_SECONDS = 0.8


def redis_client() -> Redis:
    """For the queues and for coordination with workers: a connection of the caller's, who closes it."""
    return Redis.from_url(settings.REDIS_URL)


def quick_client() -> Redis:
    """For what may fail: one pool of connections a process, which gives up soon."""
    return _quick_client(settings.REDIS_URL)


@cache
def _quick_client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=QUICK_SECONDS, socket_connect_timeout=QUICK_SECONDS)


def readiness_client() -> Redis:
    """For the question whether Redis answers; the caller closes it."""
    return Redis.from_url(
        settings.REDIS_URL, socket_timeout=READINESS_SECONDS, socket_connect_timeout=READINESS_SECONDS
    )


def rate_limit_pool() -> ConnectionPool:
    """For the rate limiter: it tries twice, and then the request passes."""
    return ConnectionPool.from_url(
        settings.REDIS_URL,
        socket_timeout=RATE_LIMIT_SECONDS,
        socket_connect_timeout=RATE_LIMIT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def subscriber(url: str) -> asyncio.Redis:
    """For a subscription, which may hear nothing for hours."""
    return asyncio.Redis.from_url(url)
