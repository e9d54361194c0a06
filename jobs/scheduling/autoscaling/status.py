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
# A status that is older says nothing: no round has looked for a long time.
KEPT_SECONDS = 600


@dataclass(frozen=True)
class EndpointStatus:
    """How the endpoint was, or why that isn't known.

    Attributes:
        at: When, in seconds since 1970.
        health: None where RunPod didn't tell.
        error: What it did instead.
        idle_since: Since when, seen again and again, turns have had no job although jobs wait.
    """

    at: float
    health: Health | None
    error: str = ""
    idle_since: float | None = None

    @property
    def age_seconds(self) -> float:
        return round(max(0.0, time.time() - self.at), 1)


def save(redis: Redis, endpoint_status: EndpointStatus) -> None:
    redis.set(KEY, json.dumps(asdict(endpoint_status)), ex=KEPT_SECONDS)


def latest() -> EndpointStatus | None:
    """The last one, if it isn't too old, and not of another version while this one takes its place.

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


def detail() -> dict[str, object] | None:
    """For those who look at the deployment; None where there is no endpoint.

    Raises:
        RedisError: Redis is away.
    """
    if not settings.RUNPOD_ENDPOINT_ID:
        return None
    endpoint_status = latest()
    if endpoint_status is None:
        return {
            "ok": False,
            "error": "The endpoint has not been checked for a while: is `control_worker outbound` running?",
        }
    data: dict[str, object] = {
        "ok": endpoint_status.health is not None,
        "age_seconds": endpoint_status.age_seconds,
    }
    return data | (
        {"error": endpoint_status.error} if endpoint_status.health is None else asdict(endpoint_status.health)
    )
