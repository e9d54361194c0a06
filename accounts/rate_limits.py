"""Requests per minute: counted in Redis, exact however many arrive at once.

The moving window keeps the time of each request that passed and decides in one Lua script, so that in
any 60 seconds no more than the limit pass. When Redis is away requests pass: a limiter must not take
the API down with it.
"""

import logging
import math
import time
from dataclasses import dataclass
from functools import cache

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from prometheus_client import Counter

from avatar_api.common.redis import rate_limit_pool

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60

refused_requests = Counter("avatar_rate_limited", "Requests over their rate limit.", ["policy"])
for policy in ("create", "read", "log-in", "report"):
    refused_requests.labels(policy)  # Told as zero from the start.
unlimited_requests = Counter(
    "avatar_rate_limit_unavailable_total", "Requests that passed uncounted because Redis was away."
)


@dataclass(frozen=True)
class RateLimitState:
    """What one request found.

    Attributes:
        allowed: Whether the request may go on.
        remaining: Requests left in the window; None when Redis is away.
        reset_seconds: Until more are to be had.
    """

    policy: str
    limit: int
    allowed: bool
    remaining: int | None
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """The fields of the IETF draft (draft-ietf-httpapi-ratelimit-headers)."""
        headers = {"RateLimit-Policy": f'"{self.policy}";q={self.limit};w={WINDOW_SECONDS}'}
        if self.remaining is not None:
            headers["RateLimit"] = f'"{self.policy}";r={self.remaining};t={self.reset_seconds}'
        return headers


def hit(policy: str, limit: int, subject: str) -> RateLimitState:
    """Counts one request of `subject` under `policy` and says whether it may pass."""
    item = RateLimitItemPerMinute(limit)
    try:
        allowed = limiter().hit(item, policy, subject)
        stats = limiter().get_window_stats(item, policy, subject)
    except StorageError:
        unlimited_requests.inc()
        log.warning("the rate limiter can't reach Redis; the request passes uncounted")
        return RateLimitState(policy, limit, allowed=True, remaining=None, reset_seconds=0)
    if not allowed:
        refused_requests.labels(policy).inc()
    reset_seconds = max(1, math.ceil(stats.reset_time - time.time()))
    return RateLimitState(policy, limit, allowed, stats.remaining, reset_seconds)


@cache
def limiter() -> MovingWindowRateLimiter:
    """One connection pool per process, opened on first use, after any fork."""
    storage = RedisStorage(
        "redis://", connection_pool=rate_limit_pool(), key_prefix="rate", wrap_exceptions=True
    )
    return MovingWindowRateLimiter(storage)
