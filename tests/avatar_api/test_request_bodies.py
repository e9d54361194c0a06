"""How bodies are received: whole before the application sees them, within limits, at no one else's cost."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from avatar_api.common.asgi import App, Headers, Message, Receive, Scope, Send
from avatar_api.common.request_bodies import BODY_KEY, DISCARDED_BYTES, BodyLimits, ReceivedBodies, Uploader

LIMITS = BodyLimits(max_bytes=32 * 1024 * 1024)
UPLOADER = Uploader("org_1", open_uploads=1)
MEGABYTE = b"x" * 1024 * 1024


@dataclass
class Inner:
    """An application that notes what it was handed."""

    bodies: list[bytes] = field(default_factory=list)
    lengths: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append(scope[BODY_KEY].read())
        self.lengths.append(dict(scope["headers"])[b"content-length"])
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@dataclass
class Exchange:
    """One request whose body the test sends piece by piece."""

    app: App
    headers: Headers = field(default_factory=lambda: [(b"content-length", b"9")])
    client: str = "192.0.2.1"
    sent: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pieces: asyncio.Queue[Message] = asyncio.Queue()
        scope = {"type": "http", "method": "POST", "path": "/v1/jobs", "headers": self.headers}
        self.task = asyncio.create_task(self._run({**scope, "client": (self.client, 1)}))

    async def _run(self, scope: Scope) -> None:
        async def send(message: Message) -> None:
            self.sent.append(message)

        await self.app(scope, self.pieces.get, send)

    def piece(self, body: bytes, *, more: bool = True) -> None:
        self.pieces.put_nowait({"type": "http.request", "body": body, "more_body": more})

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def response_headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sent[1]["body"])
        return found


def received(
    inner: Inner,
    limits: BodyLimits = LIMITS,
    uploader: Callable[[Scope], Uploader | None] = lambda scope: UPLOADER,
) -> ReceivedBodies:
    return ReceivedBodies(inner, limits, lambda scope: scope["client"][0], uploader)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await scenario()

    asyncio.run(bounded())


def test_a_body_is_whole_before_the_application_is_called() -> None:
    async def scenario() -> None:
        exchange = Exchange(received(inner := Inner()))
        exchange.piece(b"hello ")
        await asyncio.sleep(0)
        assert inner.bodies == []
        exchange.piece(b"you", more=False)
        await exchange.task
        assert inner.bodies == [b"hello you"]

    run(scenario)


def test_a_body_without_a_length_gets_one() -> None:
    async def scenario() -> None:
        exchange = Exchange(received(inner := Inner()), [(b"transfer-encoding", b"chunked")])
        exchange.piece(b"hello", more=False)
        await exchange.task
        assert inner.lengths == [b"5"]

    run(scenario)


def test_a_large_body_arrives_unchanged() -> None:
    async def scenario() -> None:
        exchange = Exchange(received(inner := Inner()))
        for number in range(5):
            exchange.piece(MEGABYTE[:-1] + b"%d" % number)
        exchange.piece(b"", more=False)
        await exchange.task
        assert inner.bodies == [b"".join(MEGABYTE[:-1] + b"%d" % number for number in range(5))]

    run(scenario)


def test_a_large_body_without_a_credential_is_discarded_and_the_connection_goes_on() -> None:
    async def scenario() -> None:
        exchange = Exchange(received(inner := Inner(), uploader=lambda scope: None))
        exchange.piece(MEGABYTE)
        exchange.piece(MEGABYTE, more=False)
        await exchange.task
        assert (exchange.status, inner.bodies, inner.lengths) == (401, [b""], [b"0"])
        assert b"connection" not in exchange.response_headers

    run(scenario)


def test_a_refusal_that_leaves_bytes_under_way_announces_the_end_of_the_connection() -> None:
    async def scenario() -> None:
        exchange = Exchange(received(Inner(), uploader=lambda scope: None))
        for _ in range(DISCARDED_BYTES // len(MEGABYTE) + 1):
            exchange.piece(MEGABYTE)
        await exchange.task
        assert exchange.status == 401
        assert exchange.response_headers[b"connection"] == b"close"

    run(scenario)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(replace(LIMITS, silence_seconds=0.05), id="silence"),
        pytest.param(replace(LIMITS, grace_seconds=0.05), id="rate"),
        pytest.param(replace(LIMITS, max_seconds=0.05), id="time"),
    ],
)
def test_a_body_that_is_too_slow_is_a_408(limits: BodyLimits) -> None:
    async def scenario() -> None:
        exchange = Exchange(received(inner := Inner(), limits))
        exchange.piece(b"a")
        await exchange.task
        assert (exchange.status, exchange.problem["code"]) == (408, "request_timeout")
        assert exchange.response_headers[b"connection"] == b"close"
        assert exchange.response_headers[b"x-request-id"].decode() == exchange.problem["instance"]
        assert inner.bodies == []

    run(scenario)


def test_a_body_over_the_limit_is_a_413() -> None:
    async def scenario() -> None:
        exchange = Exchange(received(inner := Inner(), replace(LIMITS, max_bytes=100)))
        exchange.piece(b"x" * 101)
        await exchange.task
        assert (exchange.status, exchange.problem["code"], inner.bodies) == (413, "payload_too_large", [])

    run(scenario)


def test_one_address_may_send_so_many_bodies_at_once_and_others_go_on() -> None:
    async def scenario() -> None:
        app = received(Inner(), replace(LIMITS, open_per_address=2))
        held = [Exchange(app) for _ in range(2)]
        await asyncio.sleep(0)
        refused, other = Exchange(app), Exchange(app, client="192.0.2.2")
        other.piece(b"x", more=False)
        await asyncio.gather(refused.task, other.task)
        assert (refused.status, refused.problem["code"], other.status) == (429, "concurrency_limited", 401)
        assert int(refused.response_headers[b"retry-after"]) > 0
        for exchange in held:
            exchange.piece(b"x", more=False)
        await asyncio.gather(*(exchange.task for exchange in held))
        assert {exchange.status for exchange in held} == {401}

    run(scenario)


def test_one_organization_may_send_so_many_large_bodies_at_once() -> None:
    async def scenario() -> None:
        app = received(inner := Inner())
        held = Exchange(app)
        held.piece(MEGABYTE)
        while held.pieces.qsize():
            await asyncio.sleep(0.01)
        refused = Exchange(app)
        refused.piece(MEGABYTE)
        await refused.task
        assert refused.problem["code"] == "concurrency_limited"
        held.piece(b"", more=False)
        await held.task
        assert inner.bodies == [MEGABYTE]

    run(scenario)


def test_a_client_that_hangs_up_reaches_nobody() -> None:
    async def scenario() -> None:
        exchange = Exchange(received(inner := Inner()))
        exchange.piece(b"half")
        exchange.pieces.put_nowait({"type": "http.disconnect"})
        await exchange.task
        assert (inner.bodies, exchange.sent) == ([], [])

    run(scenario)
