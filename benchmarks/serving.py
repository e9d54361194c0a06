"""Requests a second of the real server, for what clients do most; ratios count, on a machine that is shared.

Server, clients, Postgres and Valkey share the cores, so the absolute figures are low.
"""

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from benchmarks.row import Row
from benchmarks.web_server import (
    Request,
    asgi_server,
    authorized,
    connect,
    creation,
    deployment,
    make_job,
    server,
)

READINGS = 1  # Each figure is a median of slices already.
SECONDS = 4.0
SLICES = 5
SOME_LISTENERS, MANY_LISTENERS = 200, 1000
CLIENTS = (1, 8, 32)
PERCENTS = (50, 95, 99)


def rows() -> Iterator[Row]:
    """Rates and latencies under the server of the deployment, and one rate under plain WSGI."""
    with deployment() as deployed:
        environment, key = deployed.environment, deployed.key
        empty = authorized("GET", "/v1/empty", key)
        with server(environment, "wsgi", "avatar_api.wsgi:application") as plain:
            yield Row("empty throttled view, WSGI", load(plain.port, empty).rate, "1/s")
        with asgi_server(environment) as web:
            yield Row("empty throttled view", load(web.port, empty).rate, "1/s")
            job = f"/v1/jobs/{make_job(web.port, key)}"
            get, watch = authorized("GET", job, key), authorized("GET", f"{job}/events", key)
            for number in (SOME_LISTENERS, MANY_LISTENERS):
                with listeners(web.port, watch, number):
                    beside = f"{number} listeners"
                    yield Row(f"empty throttled view, {beside}", load(web.port, empty).rate, "1/s")
                    yield from figures(f"GET one job, {beside}", load(web.port, get))
            # Creation comes last, so that the list is read while it is short.
            yield from by_clients(web.port, "GET one job", get)
            yield from by_clients(web.port, "GET the list", authorized("GET", "/v1/jobs", key))
            yield from by_clients(web.port, "POST a job, portrait and speech", *map(creation, deployed.keys))


@dataclass(frozen=True)
class Load:
    """When each of many requests began and ended, on one clock."""

    moments: list[tuple[float, float]]

    @property
    def rate(self) -> float:
        """The median of the slices' requests a second."""
        ends = sorted(end for _, end in self.moments)
        begin, length = ends[0], (ends[-1] - ends[0]) / SLICES
        counts = [0] * SLICES
        for end in ends:
            counts[min(SLICES - 1, int((end - begin) / length))] += 1
        return statistics.median(counts) / length

    @property
    def percentiles(self) -> list[float]:
        """Milliseconds, the first to the ninety-ninth."""
        return statistics.quantiles([1000 * (end - begin) for begin, end in self.moments], n=100)


def by_clients(port: int, name: str, *requests: Request) -> Iterator[Row]:
    for clients in CLIENTS:
        yield from figures(f"{name}, {clients} clients", load(port, *requests, clients=clients))


def figures(name: str, loaded: Load) -> Iterator[Row]:
    yield Row(name, loaded.rate, "1/s")
    cuts = loaded.percentiles
    for percent in PERCENTS:
        yield Row(f"{name}, p{percent}", cuts[percent - 1], "ms")


def load(port: int, *requests: Request, clients: int = 8) -> Load:
    """Send these requests in turn from so many clients at once, each of which repeats one."""
    moments: list[tuple[float, float]] = []
    deadline = time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=ask, args=(port, request, deadline, moments))
        for request in islice(cycle(requests), clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(moments)


def ask(port: int, request: Request, deadline: float, moments: list[tuple[float, float]]) -> None:
    with contextlib.closing(connect(port)) as connection:
        while (begin := time.monotonic()) < deadline:
            connection.request(request.method, request.path, request.body, request.headers)
            response = connection.getresponse()
            response.read()
            if response.status >= 400:
                raise AssertionError(f"{request.method} {request.path}: {response.status}")
            moments.append((begin, time.monotonic()))


@contextlib.contextmanager
def listeners(port: int, watch: Request, number: int) -> Iterator[None]:
    """Connections that listen to a job's events."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            connection = stack.enter_context(contextlib.closing(connect(port)))
            connection.request(watch.method, watch.path, headers=watch.headers)
            if connection.getresponse().status != 200:
                raise AssertionError("a listener was refused")
        yield
