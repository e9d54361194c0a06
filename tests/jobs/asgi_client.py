"""A client of the ASGI application, in the test's own event loop: it can listen, wait and hang up."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

from avatar_api.common.asgi import App, Message
from jobs.streaming.admission import Admission
from jobs.streaming.prefer_wait import PreferWait
from jobs.streaming.pubsub import Hub
from jobs.streaming.snapshots import Snapshots
from jobs.streaming.sse import JobEvents

SECONDS = 120


@dataclass
class Event:
    """A server-sent event."""

    id: str
    name: str
    job: dict[str, Any]


class Stack:
    """The application as `avatar_api.asgi` puts it together, with what must be closed at the end."""

    def __init__(self) -> None:
        self.hub, self.snapshots, self.admission = Hub(settings.REDIS_URL), Snapshots(), Admission()
        django = WSGIMiddleware(WSGIHandler(), workers=2)
        self.threads = django.executor
        waiting = PreferWait(django, self.hub, self.snapshots, self.admission)
        self.app: App = JobEvents(waiting, self.hub, self.snapshots, self.admission)

    async def close(self) -> None:
        await self.hub.close()
        self.snapshots.close()
        self.admission.close()
        self.threads.shutdown()


class Request:
    """One request in flight."""

    def __init__(self, app: App, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._body: bytes | None = body
        path, _, query = path.partition("?")
        sent = {"host": "testserver", "content-length": str(len(body)), **headers}
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._messages.put))  # type: ignore[arg-type]

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def hang_up(self) -> None:
        self._gone.set()

    async def _next(self) -> Message:
        async with asyncio.timeout(SECONDS):
            return await self._messages.get()

    async def start(self) -> tuple[int, dict[str, str]]:
        message = await self._next()
        return message["status"], {k.decode().lower(): v.decode() for k, v in message["headers"]}

    async def body(self) -> bytes:
        body, more = b"", True
        while more:
            message = await self._next()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        return body

    async def events(self) -> AsyncIterator[Event]:
        more = True
        while more:
            message = await self._next()
            more = message.get("more_body", False)
            if message["body"].startswith(b"id:"):
                lines = dict(line.split(": ", 1) for line in message["body"].decode().splitlines() if line)
                yield Event(lines["id"], lines["event"], json.loads(lines["data"]))


def run(scenario: Callable[[Stack], Awaitable[None]]) -> None:
    """Run a scenario against the whole stack, and close the stack whatever happens."""

    async def main() -> None:
        stack = Stack()
        try:
            await scenario(stack)
        finally:
            await stack.close()

    asyncio.run(main())
