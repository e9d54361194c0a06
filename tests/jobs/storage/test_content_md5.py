"""Objects are deleted, and rules written, on S3 servers that require Content-MD5, as older ones do."""

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from environs import Env
from pytest_django import Settings

from gpu_worker.common.object_store import storage_backend
from jobs.storage import bucket_rules, objects
from jobs.storage.objects import StoredObject

REFUSAL = (
    b"<Error><Code>InvalidRequest</Code><Message>Missing required header for this request: Content-MD5"
    b"</Message></Error>"
)
NO_RULES = {
    "lifecycle": b"<Error><Code>NoSuchLifecycleConfiguration</Code></Error>",
    "cors": b"<Error><Code>NoSuchCORSConfiguration</Code></Error>",
}


class StrictServer(ThreadingHTTPServer):
    """Takes a body only with its MD5; `taken` are the queries of the requests that it took."""

    taken: list[str]


class Handler(BaseHTTPRequestHandler):
    server: StrictServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        if self.headers["Content-MD5"] != b64encode(digest).decode():
            self.answer(400, REFUSAL)
            return
        self.server.taken.append(self.path.partition("?")[2])
        self.answer(200, b"<DeleteResult/>")

    def do_PUT(self) -> None:
        self.do_POST()

    def do_GET(self) -> None:
        self.answer(404, NO_RULES[self.path.partition("?")[2]])

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: what was taken is noted."""


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictServer]:
    with StrictServer(("127.0.0.1", 0), Handler) as server:
        server.taken = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("R2_BUCKET", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "name")
        monkeypatch.setenv("R2_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        settings.STORAGES = settings.STORAGES | {"default": storage_backend(Env(), Path())}
        yield server
        default_storage.connection.meta.client.close()  # type: ignore[attr-defined]
        server.shutdown()


def test_objects_are_deleted(server: StrictServer) -> None:
    objects.delete([StoredObject(f"org/{number}", 1, datetime.now(UTC)) for number in range(3)])

    assert server.taken == ["delete"]


def test_rules_are_written(server: StrictServer) -> None:
    bucket_rules.apply(3, ["https://app.example.com"])

    assert server.taken == ["lifecycle", "cors"]
