"""How the endpoint was when a round last looked, kept in Redis: whoever shows it never asks RunPod itself."""

import json
import time
from dataclasses import asdict, dataclass
from typing import cast

from django.conf import settings
from redis import Redis

from avatar_api.common.shared_counters import client
from jobs.scheduling.autoscaling.runpod import Health, Workers

KEY = "waking:reading"
# A reading that is older says nothing: no round has looked for a long time.
KEPT_SECONDS = 600


@dataclass(frozen=True)
class Reading:
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


def keep(redis: Redis, reading: Reading) -> None:
    redis.set(KEY, json.dumps(asdict(reading)), ex=KEPT_SECONDS)


def last() -> Reading | None:
    """The last one, if it isn't too old, and not of another version while this one takes its place.

    Raises:
        RedisError: Redis is away.
    """
    kept = cast("bytes | None", client(settings.REDIS_URL).get(KEY))
    if kept is None:
        return None
    told = json.loads(kept)
    try:
        if told["health"] is not None:
            told["health"] = Health(**told["health"] | {"workers": Workers(**told["health"]["workers"])})
        return Reading(**told)
    except (KeyError, TypeError):
        return None


def detail() -> dict[str, object] | None:
    """For those who look at the deployment; None where there is no endpoint.

    Raises:
        RedisError: Redis is away.
    """
    if not settings.RUNPOD_ENDPOINT_ID:
        return None
    reading = last()
    if reading is None:
        return {"ok": False, "error": "Nobody has looked in a while: is `control_worker outbound` running?"}
    told: dict[str, object] = {"ok": reading.health is not None, "age_seconds": reading.age_seconds}
    return told | ({"error": reading.error} if reading.health is None else asdict(reading.health))
