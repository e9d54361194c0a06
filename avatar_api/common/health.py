"""Is this process alive, and can it reach what it needs?"""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.core.files.storage import default_storage
from django.db import connection
from django.http import HttpRequest, JsonResponse

from avatar_api.common.asgi import App, Receive, Scope, Send
from avatar_api.common.asgi_response import send_json
from avatar_api.common.background_check import BackgroundCheck, Outcome
from avatar_api.common.problems import SAFE, safe_only
from avatar_api.common.redis import readiness_client

ALIVE = {"status": "ok"}
WRITTEN_KEY = "readyz"


@safe_only
def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse(ALIVE)


class Alive:
    """Answers `/healthz` in the event loop, however many requests wait for a thread."""

    def __init__(self, inner: App) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/healthz" and scope["method"] in SAFE:
            await send_json(scope, send, 200, ALIVE)
        else:
            await self._inner(scope, receive, send)


@safe_only
def ready(request: HttpRequest) -> JsonResponse:
    """Database, Redis and storage, each with its latency; 503 when one of them is down. Details beside it."""
    checks, details = _checks(), _details()
    for check in checks + details:
        check.start()
    parts = {check.name: _part(check.outcome()) for check in checks}
    ok = all(part["ok"] for part in parts.values())
    body: dict[str, object] = {"status": "ok" if ok else "down", "checks": parts}
    if known := {check.name: detail for check in details if (detail := _detail(check.outcome()))}:
        body["details"] = known
    return JsonResponse(body, status=200 if ok else 503)


def _part(outcome: Outcome) -> dict[str, object]:
    return {"ok": outcome.ok, "latency_ms": round(1000 * outcome.seconds, 1)}


def _detail(outcome: Outcome) -> object:
    """What is worth knowing and makes this process no less ready, whatever it is."""
    return outcome.value if outcome.ok else {"ok": False}


@cache
def _checks() -> list[BackgroundCheck]:
    return [BackgroundCheck(name, check) for name, check in CHECKS.items()]


@cache
def _details() -> list[BackgroundCheck]:
    return [BackgroundCheck(name, detail, kept=0.0) for name, detail in DETAILS.items()]


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis() -> None:
    """A Redis whose memory is full still answers, and takes nothing."""
    with readiness_client() as redis:
        redis.set(WRITTEN_KEY, "1", ex=60)


def _eviction() -> dict[str, object] | None:
    """With another policy than `noeviction` queues vanish when memory is short."""
    with readiness_client() as redis:
        memory: dict[str, Any] = redis.info("memory")
    policy = memory.get("maxmemory_policy", "noeviction")
    return None if policy == "noeviction" else {"ok": False, "maxmemory_policy": policy}


def _storage() -> None:
    default_storage.exists("readyz")


CHECKS: dict[str, Callable[[], object]] = {"database": _database, "redis": _redis, "storage": _storage}

# Added by those who know of them; they send no request outside of the deployment. None: nothing to say.
DETAILS: dict[str, Callable[[], dict[str, object] | None]] = {"redis": _eviction}
