"""What a Redis that is frozen, and answers nobody, costs a request.

The first request after a second without any meets it anew; those that follow at once are spared.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from redis import Redis

from benchmarks.row import Row
from benchmarks.web_server import (
    Request,
    WebServer,
    asgi_server,
    authorized,
    connect,
    creation,
    deployment,
    make_job,
)

READINGS = 1
REQUESTS = 5
EXPECTED = (200, 202, 503)
"""Nothing but `/readyz` has to say that Redis is away."""
QUIET = {"LOG_LEVEL": "CRITICAL"}
PAUSE_SECONDS = 1.5
"""After which a web process tries a Redis again that hasn't answered."""


def rows() -> Iterator[Row]:
    """The slowest of a few requests of each kind, each after a pause, beside Redis as it is and frozen."""
    with deployment() as deployed, asgi_server(deployed.environment | QUIET) as web:
        requests = {
            "GET a list of jobs": authorized("GET", "/v1/jobs", deployed.key),
            "GET one job": authorized("GET", f"/v1/jobs/{make_job(web.port, deployed.key)}", deployed.key),
            "POST a job": creation(deployed.key),
            "GET /readyz": Request("GET", "/readyz", {}),
        }
        yield from slowest(web, requests, "Redis answers")
        with frozen(deployed.environment["REDIS_URL"]):
            yield from slowest(web, requests, "Redis is frozen")


def slowest(web: WebServer, requests: dict[str, Request], meanwhile: str) -> Iterator[Row]:
    for name, request in requests.items():
        yield Row(f"{name}, {meanwhile}, slowest", max(seconds_of(web.port, request)), "s")


def seconds_of(port: int, request: Request) -> Iterator[float]:
    for _ in range(REQUESTS):
        time.sleep(PAUSE_SECONDS)
        began = time.monotonic()
        with contextlib.closing(connect(port)) as connection:
            connection.request(request.method, request.path, request.body or None, request.headers)
            response = connection.getresponse()
            response.read()
        yield time.monotonic() - began
        if response.status not in EXPECTED:
            raise AssertionError(f"{request.method} {request.path} was answered with {response.status}")


@contextlib.contextmanager
def frozen(url: str) -> Iterator[None]:
    """Stop Redis by SIGSTOP, and let it go on at the end."""
    with Redis.from_url(url) as redis:
        process_id = int(redis.info("server")["process_id"])
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)
