"""The whole deployment as one ASGI application.

What may take long takes no thread: bodies are received, and jobs are watched, natively in ASGI. Everything
else is plain synchronous Django behind a pool of threads: under an ASGI server Django itself would run its
synchronous views one after the other in a single thread.
"""

from typing import Any, cast
from urllib.parse import quote_from_bytes

from a2wsgi import WSGIMiddleware
from django.conf import settings

from avatar_api.common.asgi import App, Receive, Scope, Send
from avatar_api.common.health import Alive
from avatar_api.common.own_folder import own_folder
from avatar_api.common.request_bodies import BodyLimits, ReceivedBodies
from avatar_api.wsgi import application as django_application
from jobs.api.uploaders import address_of, uploader_of
from jobs.streaming.admission import Admission
from jobs.streaming.prefer_wait import PreferWait
from jobs.streaming.pubsub import Hub
from jobs.streaming.snapshots import Snapshots
from jobs.streaming.sse import JobEvents

PRINTABLE = "".join(map(chr, range(33, 127)))

FORM_BYTES = 1024 * 1024
"""What a form adds to the files in it."""


def build(inner: App, redis_url: str) -> App:
    """Put what needs no thread in front of `inner`."""
    hub, snapshots, admission = Hub(redis_url), Snapshots(), Admission()
    waiting = PreferWait(inner, hub, snapshots, admission)
    watching = JobEvents(waiting, hub, snapshots, admission)
    limits = BodyLimits(max_bytes=settings.MAX_UPLOAD_BYTES + FORM_BYTES)
    return Alive(ReceivedBodies(watching, limits, address_of, uploader_of))


def fit_for_wsgi(inner: App) -> App:
    """Query strings may hold any bytes in ASGI: those that aren't ASCII are quoted for WSGI."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["query_string"].isascii():
            scope = {**scope, "query_string": quote_from_bytes(scope["query_string"], PRINTABLE).encode()}
        await inner(scope, receive, send)

    return application


own_folder()  # What a process that was killed left goes now, whether somebody uploads or not.
django = cast(App, WSGIMiddleware(cast(Any, django_application), workers=settings.WEB_THREADS))
application = build(fit_for_wsgi(django), settings.REDIS_URL)
