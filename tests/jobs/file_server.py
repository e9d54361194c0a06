"""A web server on loopback that holds files, as a customer's would."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """A running server.

    Attributes:
        port: Where it listens.
        files: What it holds, by path.
        asked: The paths that were asked for.
    """

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    def __init__(self, files: FileServer, *args: object) -> None:
        self.held = files
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.held.asked.append(self.path)
        content = self.held.files.get(self.path.partition("?")[0])
        # A path such as /401 answers with that status.
        status = 200 if content is not None else int(self.path[1:4]) if self.path[1:4].isdigit() else 404
        self.send_response(status)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving_files() -> Iterator[FileServer]:
    files = FileServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, files)) as server:
        files.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield files
        finally:
            server.shutdown()
            thread.join()
