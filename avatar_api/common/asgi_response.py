"""Responses that are given in the event loop, before Django has seen the request."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from avatar_api.common.asgi import Headers, Scope, Send, header
from avatar_api.common.problems import MEDIA_TYPE, Problem, document
from avatar_api.common.request_id import chosen_id, request_id


async def send_problem(
    scope: Scope,
    send: Send,
    problem: Problem,
    before_end: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Answer with a problem document.

    Args:
        scope: The request.
        send: Where the answer goes.
        problem: What went wrong.
        before_end: For a request of which bytes may be under way, so that its connection ends: called when
            the client has the answer and before that end.
    """
    token = request_id.set(chosen_id(header(scope, "x-request-id") or ""))
    try:
        body, headers = document(problem), {**problem.headers}
        if before_end is not None:
            headers["Connection"] = "close"
        await send_json(scope, send, problem.status_code, body, MEDIA_TYPE, headers, more=True)
    finally:
        request_id.reset(token)
    if before_end is not None:
        await before_end()
    await send({"type": "http.response.body", "body": b""})


async def send_json(
    scope: Scope,
    send: Send,
    status: int,
    body: Mapping[str, Any],
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    *,
    more: bool = False,
) -> None:
    """Answer with JSON, under the id of the request."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    all_headers = {
        "Content-Type": media_type,
        "Content-Length": str(len(text)),
        "Cache-Control": "private, no-store",
        "X-Request-Id": body.get("instance") or chosen_id(header(scope, "x-request-id") or ""),
        **(headers or {}),
    }
    lines: Headers = [(name.lower().encode(), value.encode()) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    text = b"" if scope["method"] == "HEAD" else text
    await send({"type": "http.response.body", "body": text, "more_body": more})
