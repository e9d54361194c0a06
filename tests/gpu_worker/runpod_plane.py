"""RunPod's control plane, played on loopback: it hands requests to a worker and takes its answers."""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

POLL_SECONDS = 0.5


@dataclass
class ControlPlane:
    """Requests on their way to the worker, and its answers by request id."""

    url: str = ""
    requests: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    answers: dict[str, Any] = field(default_factory=dict)
    stops: "queue.Queue[str]" = field(default_factory=queue.Queue)
    polls: int = 0

    def run(self, request_id: str, **given: Any) -> None:
        """What `POST /run` does."""
        self.requests.put({"id": request_id, "input": given})

    @property
    def environment(self) -> dict[str, str]:
        """What RunPod sets in a worker's container."""
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{self.url}/job-take/$ID?gpu=L40S",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{self.url}/job-done/$RUNPOD_POD_ID/$ID?gpu=L40S",
            "RUNPOD_WEBHOOK_PING": f"{self.url}/ping/$RUNPOD_POD_ID",
            "RUNPOD_POD_ID": "pod-1",
            "RUNPOD_AI_API_KEY": "key",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        }


@contextmanager
def running() -> Iterator[ControlPlane]:
    plane = ControlPlane()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(plane))
    server.daemon_threads = True
    plane.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield plane
    server.shutdown()
    thread.join()
    server.server_close()


def _handler(plane: ControlPlane) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/job-take/"):
                plane.polls += 1
                self._answer_with(plane.requests, lambda request: request)
            elif self.path.startswith("/job-stop/"):
                self._answer_with(plane.stops, lambda request_id: {"jobsToStop": [request_id]})
            else:
                self._answer(200, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            plane.answers[self.path.split("?")[0].split("/")[-1]] = json.loads(body)
            self._answer(200, {})

        def _answer_with(self, source: "queue.Queue[Any]", make: Any) -> None:
            try:
                self._answer(200, make(source.get(timeout=POLL_SECONDS)))
            except queue.Empty:
                self._answer(204, None)

        def _answer(self, status: int, data: Any) -> None:
            body = b"" if data is None else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler
