"""Requests a second of the real server, for what clients do most; ratios count, on a machine that is shared.

Server, clients, Postgres and Valkey share the cores, so the absolute figures are low.
"""

import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from avatar_api.embedded import throwaway_services
from benchmarks.row import Row

READINGS = 1  # Each figure is a median of slices already.
SECONDS = 4.0
SLICES = 5
LISTENERS = 200
CLIENTS = (1, 8, 32)
ROOT = Path(__file__).resolve().parents[1]
BOUNDARY = "benchmark"


def rows() -> Iterator[Row]:
    """Rates and latencies under the server of the deployment, and one rate under plain WSGI."""
    with TemporaryDirectory() as home, throwaway_services(Path(home)) as services:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.serving_settings",
            "DATABASE_URL": services.database_url,
            "REDIS_URL": services.redis_url,
            "STORAGE_DIR": f"{home}/store",
            "LOG_LEVEL": "ERROR",
        }
        key, job_id = prepared(environment)
        get = request("GET", f"/v1/jobs/{job_id}", key)
        empty = request("GET", "/v1/empty", key)
        with server(environment, "wsgi", "avatar_api.wsgi:application") as port:
            yield Row("empty throttled view, WSGI", rate(port, empty), "1/s")
        with server(environment, "asgi", "avatar_api.asgi:application") as port:
            yield Row("empty throttled view", rate(port, empty), "1/s")
            yield Row("GET one job", rate(port, get), "1/s")
            with listeners(port, job_id, key):
                yield Row(f"empty throttled view, {LISTENERS} listeners", rate(port, empty), "1/s")
                yield Row(f"GET one job, {LISTENERS} listeners", rate(port, get), "1/s")
            yield Row("GET the list", rate(port, request("GET", "/v1/jobs", key)), "1/s")
            yield Row("POST a job, portrait and speech", rate(port, creation(key), clients=4), "1/s")
            yield from latencies(port, get)


def prepared(environment: dict[str, str]) -> tuple[str, str]:
    """A key that no limit stops, and a job to ask for."""
    script = (
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from accounts.models import Plan; from tests import factories\n"
        "Plan.objects.update(read_per_minute=10**7, create_per_minute=10**7, queued_jobs=10**6)\n"
        "of = factories.organization()\n"
        "print(factories.key(of), factories.job(of).id)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    key, job_id = done.stdout.split()
    return key, job_id


@contextlib.contextmanager
def server(environment: dict[str, str], interface: str, application: str) -> Iterator[int]:
    """The application under granian on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    threads = ["--blocking-threads", "8"] if interface == "wsgi" else []
    command = [sys.executable, "-m", "granian", "--interface", interface, application, "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--log-level", "error", "--workers-kill-timeout", "3", *threads], cwd=ROOT, env=environment
    )
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), contextlib.closing(connect(port)) as connection:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise TimeoutError("the server didn't start")


Request = tuple[str, str, dict[str, str], bytes]


def request(method: str, path: str, key: str, body: bytes = b"", **headers: str) -> Request:
    return method, path, {"Authorization": f"Bearer {key}", **headers}, body


def creation(key: str) -> Request:
    """The sample portrait of some 200 kB with some 300 kB of speech."""
    parts = []
    for name, sample in (("image", "portrait.png"), ("audio", "speech.wav")):
        content = (ROOT / "samples" / sample).read_bytes()
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{sample}"\r\n\r\n'
        parts += [head.encode(), content, b"\r\n"]
    body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    return request("POST", "/v1/jobs", key, body, **{"Content-Type": content_type})


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=30)


def rate(port: int, asked: Request, clients: int = 8) -> float:
    """The median of the slices' requests a second."""
    moments = sorted(end for ends in load(port, asked, clients) for _, end in ends)
    begin, length = moments[0], (moments[-1] - moments[0]) / SLICES
    counts = [0] * SLICES
    for moment in moments:
        counts[min(SLICES - 1, int((moment - begin) / length))] += 1
    return statistics.median(counts) / length


def latencies(port: int, asked: Request) -> Iterator[Row]:
    for clients in CLIENTS:
        times = [1000 * (end - begin) for ends in load(port, asked, clients) for begin, end in ends]
        cuts = statistics.quantiles(times, n=100)
        for percent in (50, 95, 99):
            yield Row(f"GET one job, {clients} clients, p{percent}", cuts[percent - 1], "ms")


def load(port: int, asked: Request, clients: int) -> list[list[tuple[float, float]]]:
    """When each request of each client began and ended."""
    results: list[list[tuple[float, float]]] = [[] for _ in range(clients)]
    deadline = time.monotonic() + SECONDS
    threads = [threading.Thread(target=ask, args=(port, asked, deadline, found)) for found in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def ask(port: int, asked: Request, deadline: float, found: list[tuple[float, float]]) -> None:
    method, path, headers, body = asked
    with contextlib.closing(connect(port)) as connection:
        while (begin := time.monotonic()) < deadline:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.read()
            if response.status >= 400:
                raise AssertionError(f"{method} {path}: {response.status}")
            found.append((begin, time.monotonic()))


@contextlib.contextmanager
def listeners(port: int, job_id: str, key: str) -> Iterator[None]:
    """Connections that listen to the job's events."""
    with contextlib.ExitStack() as stack:
        for _ in range(LISTENERS):
            connection = stack.enter_context(contextlib.closing(connect(port)))
            connection.request("GET", f"/v1/jobs/{job_id}/events", headers={"Authorization": f"Bearer {key}"})
            if connection.getresponse().status != 200:
                raise AssertionError("a listener was refused")
        yield
