"""`Prefer: wait=N` on `POST /v1/jobs`: the answer is held until the job ends or N seconds pass.

The request itself is handled like any other; only its answer waits, and that takes no thread.
"""

import asyncio
import json
import re
from contextlib import suppress

from avatar_api.common.asgi import (
    App,
    BufferedResponse,
    Receive,
    Scope,
    Send,
    base_url,
    ended_when_gone,
    header,
)
from avatar_api.common.problems import Problem
from jobs.streaming.admission import Admission, Pass
from jobs.streaming.pubsub import Hub
from jobs.streaming.snapshots import Snapshot, Snapshots

WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,6})\"?(?=$|[,;\s])")
MAX_SECONDS = 60
MAX_WAITING = 200
LOOK_SECONDS = 5.0


class PreferWait:
    """Holds the answers of `inner` for clients that prefer to wait; at most `MAX_WAITING` at once.

    A client counts when its job has been made, so that refused requests keep nobody from waiting.
    """

    def __init__(self, inner: App, hub: Hub, snapshots: Snapshots, admission: Admission) -> None:
        self._inner = inner
        self._hub = hub
        self._snapshots = snapshots
        self._admission = admission
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = requested_seconds(scope)
        if seconds is None:
            await self._inner(scope, receive, send)
            return
        answer = BufferedResponse()
        await self._inner(scope, receive, answer.take)
        if answer.status == 202 and self._waiting < MAX_WAITING:
            self._waiting += 1
            try:
                await self._wait(scope, receive, answer, seconds)
            finally:
                self._waiting -= 1
        await answer.pass_on(send)

    async def _wait(self, scope: Scope, receive: Receive, answer: BufferedResponse, seconds: int) -> None:
        tenant = await self._admission.tenant_of(scope)
        if tenant is None:
            return
        # An organization that has as many open answers as it may gets this one at once.
        with suppress(Problem), self._admission.opened(tenant):
            async with ended_when_gone(receive):
                await self._hold(answer, seconds, base_url(scope), Pass(self._admission, scope, tenant))

    async def _hold(self, answer: BufferedResponse, seconds: int, base: str, admitted: Pass) -> None:
        answer.headers.append((b"preference-applied", b"wait=%d" % seconds))
        snapshot = await self._end_of(json.loads(answer.body)["id"], seconds, base, admitted)
        if snapshot is not None:
            answer.status, answer.body = 200, snapshot.body
            length = str(len(snapshot.body)).encode()
            answer.headers = [(k, length if k.lower() == b"content-length" else v) for k, v in answer.headers]

    async def _end_of(self, job_id: str, seconds: int, base: str, admitted: Pass) -> Snapshot | None:
        """The job once it has ended, or None when the time is over."""
        deadline = asyncio.get_running_loop().time() + seconds
        with self._hub.watch(job_id) as watch:
            while True:
                snapshot = await self._snapshots.get(job_id, base, watch.woken_at)
                left = deadline - asyncio.get_running_loop().time()
                if snapshot.is_final or left <= 0 or not await admitted.holds():
                    return snapshot if snapshot.is_final else None
                if not await watch.changed(min(left, LOOK_SECONDS)):
                    watch.wake()  # Nothing was heard, which may be Redis' fault.


def requested_seconds(scope: Scope) -> int | None:
    """How long the client prefers to wait for the job that it asks for; at most a minute."""
    if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/v1/jobs"):
        return None
    match = WAIT.search(header(scope, "prefer") or "")
    return min(int(match.group(1)), MAX_SECONDS) if match else None
