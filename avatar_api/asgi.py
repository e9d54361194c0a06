"""The whole deployment as one ASGI application.

Watching jobs is native in ASGI, where a thousand listeners cost no thread. Everything else is plain
synchronous Django behind a pool of threads: under an ASGI server Django itself would run its synchronous
views one after the other in a single thread.
"""

from typing import Any, cast
from urllib.parse import quote_from_bytes

from a2wsgi import WSGIMiddleware
from django.conf import settings

from avatar_api.common.own_folder import own_folder
from avatar_api.wsgi import application as django_application
from jobs.streaming.asgi import App, Message, Receive, Scope, Send
from jobs.streaming.prefer_wait import Waiting
from jobs.streaming.pubsub import Hub
from jobs.streaming.snapshots import Snapshots
from jobs.streaming.sse import JobEvents

PRINTABLE = "".join(map(chr, range(33, 127)))


def build(inner: App, redis_url: str) -> App:
    """Put what watches jobs in front of `inner`."""
    hub, snapshots = Hub(redis_url), Snapshots()
    return JobEvents(Waiting(inner, hub, snapshots), hub, snapshots)


def fit_for_wsgi(inner: App) -> App:
    """Smooth what servers may do in ASGI and the bridge to WSGI can't take.

    Query strings may hold any bytes: those that aren't ASCII are quoted. `receive` may return any
    awaitable: the bridge wants a coroutine.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_message() -> Message:
            return await receive()

        if scope["type"] == "http" and not scope["query_string"].isascii():
            scope = {**scope, "query_string": quote_from_bytes(scope["query_string"], PRINTABLE).encode()}
        await inner(scope, receive_message, send)

    return application


own_folder()  # What a process that was killed left goes now, whether somebody uploads or not.
django = cast(App, WSGIMiddleware(cast(Any, django_application), workers=settings.WEB_THREADS))
application = build(fit_for_wsgi(django), settings.REDIS_URL)
