"""The whole deployment as one ASGI application.

Watching jobs is native in ASGI, where a thousand listeners cost no thread. Everything else is plain
synchronous Django behind a pool of threads: under an ASGI server Django itself would run its synchronous
views one after the other in a single thread.
"""

import os
from urllib.parse import quote_from_bytes

from a2wsgi import WSGIMiddleware
from django.conf import settings

from avatar_api.wsgi import application as django_application
from jobs.live.asgi import App, Receive, Scope, Send
from jobs.live.events import JobEvents
from jobs.live.hub import Hub
from jobs.live.snapshots import Snapshots
from jobs.live.waiting import Waiting

THREADS = int(os.environ.get("WEB_THREADS", "8"))
PRINTABLE = "".join(map(chr, range(33, 127)))


def build(inner: App, redis_url: str) -> App:
    """Put what watches jobs in front of `inner`."""
    hub, snapshots = Hub(redis_url), Snapshots()
    return JobEvents(Waiting(inner, hub, snapshots), hub, snapshots)


def with_ascii_query(inner: App) -> App:
    """Quote bytes that may not stand in a query string; WSGI can't carry them."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["query_string"].isascii():
            scope = {**scope, "query_string": quote_from_bytes(scope["query_string"], PRINTABLE).encode()}
        await inner(scope, receive, send)

    return application


application = with_ascii_query(build(WSGIMiddleware(django_application, workers=THREADS), settings.REDIS_URL))
