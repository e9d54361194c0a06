"""How the endpoint was when a round last looked, kept in Redis: whoever shows it never asks RunPod itself."""

import json
import time
from dataclasses import asdict, dataclass
from typing import cast

from django.conf import settings
from redis import Redis

from avatar_api.common.redis import quick_client
from gpu_worker.contract import reading
from gpu_worker.contract.reading import UnreadableError
from jobs.scheduling.autoscaling.runpod import Health

KEY = "waking:reading"
# A status that is older says nothing of the present: no round has looked for a long time.
KEPT_SECONDS = 600
SHORT_SECONDS = 120
"""Fewer workers for so long than the requests call for is no start that takes its time."""


@dataclass(frozen=True)
class EndpointStatus:
    """How the endpoint was, or why that isn't known.

    Attributes:
        at: When, in seconds since 1970.
        health: None where RunPod didn't tell.
        error: What it did instead.
        idle_since: Since when, seen again and again, turns have had no job although jobs wait.
        short_since: Since when, likewise, RunPod has started fewer workers than it has requests for.
        used_at: When a turn was last in progress, or the endpoint was first looked at.
    """

    at: float
    health: Health | None
    error: str = ""
    idle_since: float | None = None
    short_since: float | None = None
    used_at: float | None = None

    @property
    def age_seconds(self) -> float:
        return _seconds_since(self.at)

    @property
    def short_seconds(self) -> float:
        return _seconds_since(self.short_since)

    @property
    def unused_seconds(self) -> float:
        return _seconds_since(self.used_at)


def _seconds_since(moment: float | None) -> float:
    return 0.0 if moment is None else round(max(0.0, time.time() - moment), 1)


def save(redis: Redis, endpoint_status: EndpointStatus) -> None:
    redis.set(KEY, json.dumps(asdict(endpoint_status)))


def last() -> EndpointStatus | None:
    """The last one, however old, unless it is of another version while this one takes its place.

    Raises:
        RedisError: Redis is away.
    """
    kept = cast("bytes | None", quick_client().get(KEY))
    if kept is None:
        return None
    try:
        return reading.read(EndpointStatus, reading.parse(kept))
    except UnreadableError as error:
        reading.dropped("the endpoint's status", error)
        return None


def latest() -> EndpointStatus | None:
    """The last one, if it isn't too old; raises as `last` does."""
    found = last()
    return found if found and found.age_seconds < KEPT_SECONDS else None


def detail() -> dict[str, object] | None:
    """For those who look at the deployment; None where there is no endpoint.

    Raises:
        RedisError: Redis is away.
    """
    if not settings.RUNPOD_ENDPOINT_ID:
        return None
    found = latest()
    if found is None:
        error = "The endpoint has not been checked for a while: is `control_worker outbound` running?"
        return {"ok": False, "error": error}
    error = _error(found)
    shown: dict[str, object] = {"ok": not error, "age_seconds": found.age_seconds}
    if error:
        shown["error"] = error
    if found.health:
        shown |= asdict(found.health) | {"unused_seconds": found.unused_seconds}
    return shown


def _error(found: EndpointStatus) -> str:
    if found.health is None:
        return found.error or "RunPod does not report the endpoint's health."
    if found.short_seconds < SHORT_SECONDS:
        return ""
    return (
        f"For {found.short_seconds:.0f} s RunPod has had fewer workers at work than its requests and "
        "RUNPOD_MAX_WORKERS call for: see EndpointShort in docs/OPERATIONS.md."
    )
