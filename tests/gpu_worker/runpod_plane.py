"""RunPod's control plane, played on loopback.

To those who wake workers it is an endpoint with `/run` and `/health`; to a worker it hands the requests and
takes its answers.
"""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pytest_django import Settings

POLL_SECONDS = 0.5
ENDPOINT_ID = "endpoint-1"
KEY = "rpa_the-key-of-the-endpoint"


@dataclass
class ControlPlane:
    """Requests on their way to the worker, and its answers by request id.

    Attributes:
        asked: The bodies of `/run` that were taken.
        looks: How often `/health` was asked for.
        trouble: The status of every answer to those who wake, instead of what they want.
        nonsense: What `/health` answers instead of the truth.
        late: While it is set, answers to `/run` come too late, though the request is taken.
        silent: While it is set, `/health` isn't answered at all.
    """

    url: str = ""
    requests: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    taken: set[str] = field(default_factory=set)
    answers: dict[str, Any] = field(default_factory=dict)
    stops: "queue.Queue[str]" = field(default_factory=queue.Queue)
    polls: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    trouble: int | None = None
    nonsense: bytes | None = None
    late: threading.Event = field(default_factory=threading.Event)
    silent: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, request_id: str, **given: Any) -> None:
        """What `POST /run` does."""
        self.requests.put({"id": request_id, "input": given})

    def take(self) -> str:
        """Give the next request to a worker that isn't there: a turn begins."""
        request_id = str(self.requests.get_nowait()["id"])
        self.taken.add(request_id)
        return request_id

    def finish(self, request_id: str) -> None:
        """That worker's turn ends."""
        self.answers[request_id] = {}

    @property
    def health(self) -> dict[str, Any]:
        in_progress = len(self.taken - self.answers.keys())
        return {
            "jobs": {
                "inQueue": self.requests.qsize(),
                "inProgress": in_progress,
                "completed": 1,
                "failed": 0,
            },
            "workers": {"idle": 1, "running": in_progress, "throttled": 0, "of-some-other-kind": 1},
        }

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
    try:
        yield plane
    finally:
        plane.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(plane: ControlPlane) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/job-take/"):
                plane.polls += 1
                self._answer_with(plane.requests, self._hand_out)
            elif self.path.startswith("/job-stop/"):
                self._answer_with(plane.stops, lambda request_id: {"jobsToStop": [request_id]})
            elif self.path == f"/v2/{ENDPOINT_ID}/health":
                plane.looks += 1
                if plane.silent.is_set():
                    plane.ended.wait()
                self._answer_who_wakes(plane.health)
            else:
                self._answer(200, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == f"/v2/{ENDPOINT_ID}/run":
                self._take_in(body)
            else:
                plane.answers[self.path.split("?")[0].split("/")[-1]] = body
                self._answer(200, {})

        def _take_in(self, body: dict[str, Any]) -> None:
            request_id = f"wake-{len(plane.asked)}"
            if plane.trouble is None:
                plane.asked.append(body)
                plane.run(request_id, **body["input"])
            if plane.late.is_set():
                plane.ended.wait()
            self._answer_who_wakes({"id": request_id, "status": "IN_QUEUE"})

        def _hand_out(self, request: dict[str, Any]) -> dict[str, Any]:
            plane.taken.add(request["id"])
            return request

        def _answer_who_wakes(self, data: Any) -> None:
            if self.headers["Authorization"] != f"Bearer {KEY}":
                self._answer(401, None)
            elif plane.trouble is not None:
                self._answer(plane.trouble, {"error": f"your key was {KEY}"})
            elif plane.nonsense is not None:
                self._send(200, plane.nonsense)
            else:
                self._answer(200, data)

        def _answer_with(self, source: "queue.Queue[Any]", make: Any) -> None:
            try:
                self._answer(200, make(source.get(timeout=POLL_SECONDS)))
            except queue.Empty:
                self._answer(204, None)

        def _answer(self, status: int, data: Any) -> None:
            self._send(status, b"" if data is None else json.dumps(data).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def of_deployment(settings: Settings) -> Iterator[ControlPlane]:
    """RunPod, with the endpoint of this deployment."""
    with running() as plane:
        settings.RUNPOD_BASE_URL = plane.url
        settings.RUNPOD_ENDPOINT_ID = ENDPOINT_ID
        settings.RUNPOD_API_KEY = KEY
        yield plane
