"""The deployment's web server on fresh services, and requests to it: what the benchmarks of serving share."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from avatar_api.embedded import throwaway_services

ROOT = Path(__file__).resolve().parents[1]
BOUNDARY = "benchmark"
OPEN_REQUESTS = 4096  # As the image has it.
PREPARE = (
    "import django; django.setup()\n"
    "from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
    "from accounts.models import Plan; from tests import factories\n"
    "Plan.objects.update(read_per_minute=10**7, create_per_minute=10**7, queued_jobs=10**6,\n"
    "    max_upload_bytes=600 * 2**20)\n"
    "print(factories.key(factories.organization()))\n"
    "for number in range(15): print(factories.key(factories.organization(f'Tenant {number}')))\n"
)


@dataclass(frozen=True)
class Deployment:
    """Services with a schema, and keys that no limit stops.

    Attributes:
        environment: Of every process that belongs to it.
        keys: One of each tenant, since a tenant may have only a few files probed at once.
    """

    environment: dict[str, str]
    keys: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.keys[0]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@contextlib.contextmanager
def deployment() -> Iterator[Deployment]:
    """Postgres and Valkey, prepared, without a server or worker."""
    with TemporaryDirectory() as home, throwaway_services(Path(home)) as services:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.serving_settings",
            "DATABASE_URL": services.database_url,
            "REDIS_URL": services.redis_url,
            "STORAGE_DIR": f"{home}/store",
            "LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "-c", PREPARE]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        yield Deployment(environment, tuple(done.stdout.split()))


@contextlib.contextmanager
def process(environment: dict[str, str], *command: str) -> Iterator[int]:
    """A Python program of the deployment; its process id."""
    running = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment)
    try:
        yield running.pid
    finally:
        running.terminate()
        running.wait()


@dataclass(frozen=True)
class WebServer:
    """A web server that answers on `port` of loopback."""

    port: int
    process_id: int


@contextlib.contextmanager
def server(environment: dict[str, str], interface: str, application: str) -> Iterator[WebServer]:
    """The application under granian on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--port", str(port), "--log-level", "error", "--workers-kill-timeout", "3"]
    options += ["--backpressure", str(OPEN_REQUESTS)]
    options += ["--blocking-threads", "8"] if interface == "wsgi" else []
    with process(environment, "-m", "granian", "--interface", interface, application, *options) as process_id:
        wait_for(port)
        yield WebServer(port, process_id)


def asgi_server(environment: dict[str, str]) -> contextlib.AbstractContextManager[WebServer]:
    """The server as it is deployed."""
    return server(environment, "asgi", "avatar_api.asgi:application")


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), contextlib.closing(connect(port)) as connection:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise TimeoutError("the server didn't start")


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def authorized(method: str, path: str, key: str, headers: dict[str, str] | None = None) -> Request:
    return Request(method, path, {"Authorization": f"Bearer {key}", **(headers or {})})


def creation(key: str) -> Request:
    """A job of the sample portrait of some 200 kB and some 300 kB of speech."""
    parts = []
    for name, sample in (("image", "portrait.png"), ("audio", "speech.wav")):
        parts += [part_head(name, sample), (ROOT / "samples" / sample).read_bytes(), b"\r\n"]
    body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
    return replace(authorized("POST", "/v1/jobs", key, {"Content-Type": form_type()}), body=body)


def form_type() -> str:
    return f"multipart/form-data; boundary={BOUNDARY}"


def make_job(port: int, key: str) -> str:
    """Ask for a job of the samples; its id."""
    request = creation(key)
    with contextlib.closing(connect(port)) as connection:
        connection.request(request.method, request.path, request.body, request.headers)
        response = connection.getresponse()
        job = json.load(response)
        if response.status != 202:
            raise AssertionError(f"a job was refused: {response.status}")
    return str(job["id"])


def part_head(name: str, filename: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    return head.encode()
