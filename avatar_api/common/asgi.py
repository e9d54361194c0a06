"""The little of ASGI that is needed: types, a buffered response, headers, and a client that hangs up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.http import HttpRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


@dataclass
class BufferedResponse:
    """A whole response of an inner application."""

    status: int = 500
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    async def take(self, message: Message) -> None:
        """The `send` of the inner application."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")

    async def pass_on(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def header(scope: Scope, name: str) -> str | None:
    """The last value of a request header."""
    values = [value for key, value in scope["headers"] if key.lower() == name.encode()]
    return values[-1].decode("latin1") if values else None


def base_url(scope: Scope) -> str:
    """Scheme and host under which clients reach us: as configured, else as this client wrote them."""
    return settings.PUBLIC_URL or f"{scope.get('scheme', 'http')}://{header(scope, 'host') or 'localhost'}"


def request_of(scope: Scope) -> HttpRequest:
    """What Django's own functions need to know of a request: its headers and its peer."""
    request = HttpRequest()
    request.method, request.path = scope["method"], scope["path"]
    for key, value in scope["headers"]:
        name = key.decode("latin1").upper().replace("-", "_")
        earlier = request.META.get(f"HTTP_{name}")
        request.META[f"HTTP_{name}"] = ",".join(filter(None, (earlier, value.decode("latin1"))))
    request.META["REMOTE_ADDR"] = scope["client"][0] if scope.get("client") else ""
    return request


async def nothing_more() -> Message:
    """The `receive` of a request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def until_gone(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def ended_when_gone(receive: Receive) -> AsyncIterator[None]:
    """Leave the block as soon as the client hangs up."""
    current = asyncio.current_task()
    assert current is not None
    gone = asyncio.create_task(until_gone(receive))
    gone.add_done_callback(lambda task: None if task.cancelled() else current.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if not gone.done() or gone.cancelled():
            raise
        current.uncancel()
    finally:
        gone.cancel()
