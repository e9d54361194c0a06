"""Whom a large body counts for, and what becomes of it while that can't be known."""

import asyncio
import json
from typing import Any

import pytest
from django.db import OperationalError

from accounts import access
from avatar_api.common.asgi import Message, Receive, Scope, Send
from avatar_api.common.request_bodies import SMALL_BYTES, BodyLimits, ReceivedBodies
from jobs.api.uploaders import address_of, uploader_of

SCOPE = {"type": "http", "method": "POST", "path": "/v1/jobs", "headers": [], "client": ("192.0.2.1", 1)}


def test_a_request_whose_body_was_dropped_for_want_of_a_database_never_reaches_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database may be back by then, and would find a form without its files."""

    def away(request: object) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        pytest.fail("the application was called without the body")

    monkeypatch.setattr(access, "tenant_of", away)
    sent = asyncio.run(answers(application, b"x" * (SMALL_BYTES + 1)))

    problem: dict[str, Any] = json.loads(sent[1]["body"])
    assert (sent[0]["status"], problem["code"]) == (503, "service_unavailable")
    assert (b"retry-after", b"5") in sent[0]["headers"]


async def answers(application: Any, body: bytes) -> list[Message]:
    pieces: list[Message] = [
        {"type": "http.request", "body": body, "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return pieces.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    app = ReceivedBodies(application, BodyLimits(max_bytes=2**20), address_of, uploader_of)
    try:
        await app(SCOPE, receive, send)
    finally:
        app.close()
    return sent
