"""Is this process alive, and can it reach what it needs?"""

import logging
import time
from collections.abc import Callable

from django.core.files.storage import default_storage
from django.db import connection
from django.http import HttpRequest, JsonResponse

from avatar_api.common.asgi import App, Receive, Scope, Send
from avatar_api.common.asgi_response import send_json
from avatar_api.common.problems import SAFE, safe_only
from avatar_api.common.redis import readiness_client

log = logging.getLogger(__name__)


ALIVE = {"status": "ok"}


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
    parts = {name: _checked(name, check) for name, check in CHECKS.items()}
    ok = all(part["ok"] for part in parts.values())
    told: dict[str, object] = {"status": "ok" if ok else "down", "checks": parts}
    if details := _details():
        told["details"] = details
    return JsonResponse(told, status=200 if ok else 503)


def _checked(name: str, check: Callable[[], object]) -> dict[str, object]:
    begin = time.perf_counter()
    try:
        check()
        ok = True
    except Exception:
        # Whatever is wrong with a part, the answer is that it is down; the log says why.
        log.exception("%s is down", name)
        ok = False
    return {"ok": ok, "latency_ms": round(1000 * (time.perf_counter() - begin), 1)}


def _details() -> dict[str, object]:
    """What is worth knowing and makes this process no less ready, whatever it is."""
    found: dict[str, object] = {}
    for name, tell in DETAILS.items():
        try:
            detail = tell()
        except Exception:
            log.exception("nothing is known of %s", name)
            detail = {"ok": False}
        if detail is not None:
            found[name] = detail
    return found


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis() -> None:
    with readiness_client() as redis:
        redis.ping()


def _storage() -> None:
    default_storage.exists("readyz")


CHECKS: dict[str, Callable[[], object]] = {"database": _database, "redis": _redis, "storage": _storage}

# Added by those who know of them. They ask nobody outside the house; None: there is no such thing here.
DETAILS: dict[str, Callable[[], dict[str, object] | None]] = {}
