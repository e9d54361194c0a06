"""A customer's webhook receiver, which notes what comes and can be made to fail in three ways."""

import json
import socket
import struct
import threading
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

HANG_SECONDS = 20.0


class Mood(StrEnum):
    ANSWERS = "answers"
    REFUSES = "refuses"
    HANGS = "hangs"
    RESETS = "resets"


@dataclass(frozen=True)
class Message:
    """One delivery as it came in.

    Attributes:
        path: Where it came in: each endpoint has a path of its own.
        genuine: Whether its signature is right.
        answered: Whether it was taken with 200.
    """

    id: str
    path: str
    type: str
    job: str
    genuine: bool
    answered: bool


class Receiver:
    """Listens on `port`; `secrets` by path are known before anything comes in."""

    def __init__(self, port: int) -> None:
        self.messages: list[Message] = []
        self.secrets: dict[str, str] = {}
        self.mood = Mood.ANSWERS
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.receive(self)

            def log_message(self, *_: object) -> None:
                """Nothing: all that counts is noted."""

        self._server = _Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()

    def receive(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        mood = self.mood
        said = json.loads(body)
        self.messages.append(
            Message(
                id=request.headers["webhook-id"],
                path=request.path,
                type=said["type"],
                job=said["data"]["id"],
                genuine=self._is_genuine(request, body),
                answered=mood is Mood.ANSWERS,
            )
        )
        request.close_connection = True
        if mood is Mood.HANGS:
            threading.Event().wait(HANG_SECONDS)
        if mood is Mood.RESETS:
            _reset(request.connection)
        elif mood is not Mood.HANGS:
            request.send_response(200 if mood is Mood.ANSWERS else 500)
            request.send_header("Content-Length", "0")
            request.end_headers()

    def _is_genuine(self, request: BaseHTTPRequestHandler, body: bytes) -> bool:
        try:
            Webhook(self.secrets[request.path]).verify(body, dict(request.headers.items()))
        except WebhookVerificationError:
            return False
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A sender that goes away, in mid-message or before the answer, is no fault of ours."""


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
