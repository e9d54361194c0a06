"""`GET /v1/jobs/<id>/events`: a job's changes as server-sent events.

Each event carries the whole job, so a client that comes back needs only what is now. An event's id is the
job's tag with the event's name: a client whose `Last-Event-ID` has the present tag hears nothing until
something changes, and one that has heard `done` is told by 204 not to come again.
"""

import asyncio
import json
import re
from dataclasses import dataclass

from avatar_api.common.asgi import (
    App,
    BufferedResponse,
    Headers,
    Receive,
    Scope,
    Send,
    base_url,
    ended_when_gone,
    header,
    nothing_more,
)
from avatar_api.common.asgi_response import send_problem
from avatar_api.common.problems import Problem
from jobs.states import Status
from jobs.streaming.admission import Admission, Pass
from jobs.streaming.pubsub import Hub, Watch
from jobs.streaming.snapshots import Snapshot, Snapshots

PATH = re.compile(r"(/v1/jobs/[^/]+)/events")
KEEP_ALIVE_SECONDS = 15.0
MAX_PER_SECOND = 4
DONE = "done"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"private, no-store"),
    (b"x-accel-buffering", b"no"),
]


class JobEvents:
    """Answers the events of a job itself and leaves the rest to `inner`.

    Who may watch is asked of `inner`: it gets a request for the job itself with the same headers, so that
    keys, scopes, limits and a stranger's 404 are decided in one place.
    """

    def __init__(self, inner: App, hub: Hub, snapshots: Snapshots, admission: Admission) -> None:
        self._inner = inner
        self._hub = hub
        self._snapshots = snapshots
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if match is None or scope["method"] != "GET":
            await self._inner(scope, receive, send)
            return
        answer = await self._fetch_job(scope, match.group(1))
        if answer.status != 200:
            await answer.pass_on(send)
            return
        if (header(scope, "last-event-id") or "").endswith(f"-{DONE}"):
            await send({"type": "http.response.start", "status": 204, "headers": kept(answer)})
            await send({"type": "http.response.body", "body": b""})
            return
        tenant = await self._admission.tenant_of(scope)
        if tenant is None:  # Revoked since `inner` was asked, which will now say so.
            await self._inner({**scope, "path": match.group(1)}, receive, send)
            return
        job_id = json.loads(answer.body)["id"]
        try:
            with self._admission.opened(tenant):
                async with ended_when_gone(receive):
                    await self._stream(job_id, scope, answer, send, Pass(self._admission, scope, tenant))
        except Problem as problem:
            await send_problem(scope, send, problem)

    async def _fetch_job(self, scope: Scope, path: str) -> BufferedResponse:
        headers = [(k, v) for k, v in scope["headers"] if k.lower() not in (b"accept", b"if-none-match")]
        inner_scope = {
            **scope,
            "path": path,
            "raw_path": path.encode(),
            "headers": headers,
            "query_string": b"",
        }
        answer = BufferedResponse()
        await self._inner(inner_scope, nothing_more, answer.take)
        return answer

    async def _stream(
        self, job_id: str, scope: Scope, answer: BufferedResponse, send: Send, admitted: Pass
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS + kept(answer)})
        with self._hub.watch(job_id) as watch:
            seen = Seen(header(scope, "last-event-id"))
            while True:
                snapshot = await self._snapshots.get(job_id, base_url(scope), watch.woken_at)
                events = seen.news(snapshot)
                for event in events:
                    await send({"type": "http.response.body", "body": event.text, "more_body": True})
                if snapshot.is_final or not await admitted.holds():
                    break
                # Steps that come closer together than a client can use are told as one.
                pace = 1 / MAX_PER_SECOND if any(event.is_progress for event in events) else 0
                pause = asyncio.create_task(asyncio.sleep(pace))
                await self._wait(watch, send)
                await pause
        await send({"type": "http.response.body", "body": b""})

    async def _wait(self, watch: Watch, send: Send) -> None:
        if not await watch.changed(KEEP_ALIVE_SECONDS):
            await send({"type": "http.response.body", "body": b": keep-alive\n\n", "more_body": True})
            watch.wake()  # Nothing was heard, which may be Redis' fault: look at the job all the same.


def kept(answer: BufferedResponse) -> Headers:
    """The headers of the answer for the job itself that hold for its events, too."""
    return [(k, v) for k, v in answer.headers if k.lower().startswith((b"ratelimit", b"x-request-id"))]


@dataclass(frozen=True)
class Event:
    """One thing to tell a client."""

    name: str
    snapshot: Snapshot

    @property
    def is_progress(self) -> bool:
        return self.name == "progress"

    @property
    def text(self) -> bytes:
        """As it goes over the wire; the body is JSON on one line."""
        name, snapshot = self.name.encode(), self.snapshot
        return b"id: %s-%s\nevent: %s\ndata: %s\n\n" % (snapshot.tag.encode(), name, name, snapshot.body)


class Seen:
    """What one client knows of the job."""

    def __init__(self, last_event_id: str | None) -> None:
        self._tag = (last_event_id or "").rpartition("-")[0]
        self._status: str | None = None

    def news(self, snapshot: Snapshot) -> list[Event]:
        """The events that bring the client up to date; `done` is told in any case."""
        events = []
        if snapshot.tag != self._tag:
            is_new_status = snapshot.status != self._status
            if is_new_status:
                events.append(Event("status", snapshot))
            if not is_new_status or snapshot.status == Status.PROCESSING:
                events.append(Event("progress", snapshot))
        if snapshot.is_final:
            events.append(Event(DONE, snapshot))
        self._tag, self._status = snapshot.tag, snapshot.status
        return events
