"""A hub of models on loopback, which can be told to fail."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Fault:
    """What goes wrong with a file, so many times.

    Attributes:
        kind: `cut` (half the bytes, then the end), `hang` (nothing, until the hub's `release` is set),
            `wrong` (right size, other bytes), or a status.
        times: How often.
    """

    kind: str | int
    times: int = 1


@dataclass
class TinyHub:
    """Repositories by name, each a folder."""

    repos: dict[str, Path]
    url: str = ""
    token: str | None = None
    faults: dict[str, Fault] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def fetched(self, name: str) -> list[str | None]:
        """The ranges that were asked for of the files of this name."""
        return [span for path, span in self.requests if "/resolve/" in path and path.endswith(name)]

    def fault_of(self, path: str) -> str | int | None:
        for name, fault in self.faults.items():
            if path.endswith(name) and fault.times > 0:
                fault.times -= 1
                return fault.kind
        return None


@contextmanager
def running(repos: dict[str, Path]) -> Iterator[TinyHub]:
    hub = TinyHub(repos)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


def _handler(hub: TinyHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            path = path.replace("/api/kernels/", "/api/models/").removeprefix("/kernels")
            hub.requests.append((path, self.headers.get("Range")))
            if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._answer(401, b"", {"X-Error-Message": "Invalid credentials"})
            elif path.startswith("/api/models/"):
                self._api(path.removeprefix("/api/models/"))
            else:
                self._file(path)

        def _api(self, path: str) -> None:
            repo = "/".join(path.split("/")[:2])
            if repo not in hub.repos:
                self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif "/revision/" in path:
                self._json({"id": repo, "sha": COMMIT, "siblings": []})
            else:
                self._json([_entry(hub.repos[repo], file) for file in _files(hub.repos[repo])])

        def _file(self, path: str) -> None:
            repo, _, rest = path[1:].partition("/resolve/")
            if repo not in hub.repos:
                self._answer(404, b"")
                return
            content = (hub.repos[repo] / rest.partition("/")[2]).read_bytes()
            fault = hub.fault_of(path)
            if fault == "hang":
                hub.release.wait(240)
            if isinstance(fault, int):
                self._answer(fault, b"")
                return
            if fault == "wrong":
                content = bytes(255 - byte for byte in content)
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
            spans = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
            body = content[start:]
            self._answer(206 if start else 200, body, spans, cut=fault == "cut")

        def _json(self, data: Any) -> None:
            self._answer(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut: bool = False
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # The client may be dead by now.
                self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = self.close_connection or cut

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def _entry(root: Path, file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    entry: dict[str, Any] = {
        "type": "file",
        "path": file.relative_to(root).as_posix(),
        "size": len(content),
        "oid": hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest(),
    }
    if file.suffix in (".safetensors", ".pth", ".onnx", ".bin"):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
    return entry
