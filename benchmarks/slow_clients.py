"""What clients that send slowly or not at all cost the others: latencies beside them, and memory.

Stalled bodies come from many loopback addresses, a few from each; slow ones trickle and complete; listeners
hold event streams open. Everything shares the cores with its clients.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.row import Row
from benchmarks.serving import Load, ask, listeners
from benchmarks.upload_memory import forget_peaks, peak_megabytes
from benchmarks.web_server import Request, WebServer, asgi_server, authorized, creation, deployment, make_job

READINGS = 1
STALLED, ADDRESSES, SLOW, LISTENERS = 1500, 300, 50, 500
SLOW_BYTES_PER_SECOND = 50_000
SECONDS = 8.0
ALIVE = Request("GET", "/healthz", {})


def rows() -> Iterator[Row]:
    """p95 of `/healthz` and of one job, alone and beside everybody; slow uploads that completed; memory."""
    with deployment() as deployed, asgi_server(deployed.environment) as web:
        job = f"/v1/jobs/{make_job(web.port, deployed.key)}"
        get, watch = authorized("GET", job, deployed.key), authorized("GET", f"{job}/events", deployed.key)
        yield from latencies(web, get, "alone")
        forget_peaks(web.process_id)
        before = peak_megabytes(web.process_id)
        with (
            listeners(web.port, watch, LISTENERS),
            stalled(web.port),
            slow(web.port, deployed.key) as uploads,
        ):
            yield from latencies(web, get, "beside slow clients")
        yield Row("slow uploads that completed", uploads.completed, f"of {SLOW}")
        yield Row(
            "web server's peak memory beside slow clients", peak_megabytes(web.process_id) / before, "x"
        )


def latencies(web: WebServer, get: Request, beside: str) -> Iterator[Row]:
    for name, request in (("GET /healthz", ALIVE), ("GET one job", get)):
        yield Row(f"{name}, {beside}, p95", one_client(web.port, request).percentiles[94], "ms")


def one_client(port: int, request: Request) -> Load:
    moments: list[tuple[float, float]] = []
    ask(port, request, time.monotonic() + SECONDS, moments)
    return Load(moments)


@contextlib.contextmanager
def stalled(port: int) -> Iterator[None]:
    """Log-ins that announce a body and send none of it."""
    head = (
        f"POST /account/login/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 1000\r\n\r\nx".encode()
    )
    with contextlib.ExitStack() as stack:
        for number in range(STALLED):
            source = (f"127.1.{number % ADDRESSES // 250}.{number % ADDRESSES % 250 + 1}", 0)
            connection = socket.create_connection(("127.0.0.1", port), source_address=source)
            stack.enter_context(connection)
            connection.sendall(head)
        yield


@dataclass
class Uploads:
    """Jobs whose files arrive slowly."""

    statuses: list[int] = field(default_factory=list)

    @property
    def completed(self) -> int:
        return self.statuses.count(202) + self.statuses.count(429)


@contextlib.contextmanager
def slow(port: int, key: str) -> Iterator[Uploads]:
    """Uploads at the pace of a phone with a bad line; waits for all of them at the end."""
    uploads = Uploads()
    request = creation(key)
    threads = [threading.Thread(target=trickle, args=(port, request, uploads)) for _ in range(SLOW)]
    for thread in threads:
        thread.start()
    try:
        yield uploads
    finally:
        for thread in threads:
            thread.join()


def trickle(port: int, request: Request, uploads: Uploads) -> None:
    body = request.body or b""
    headers = {
        "Host": "127.0.0.1",
        "Connection": "close",
        "Content-Length": str(len(body)),
        **request.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{request.method} {request.path} HTTP/1.1\r\n{lines}\r\n".encode())
        piece = SLOW_BYTES_PER_SECOND // 2
        for start in range(0, len(body), piece):
            connection.sendall(body[start : start + piece])
            time.sleep(0.5)
        uploads.statuses.append(int(connection.recv(64).split()[1]))
