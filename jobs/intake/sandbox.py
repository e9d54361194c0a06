"""Runs a probe of an uploaded file in a confined process (see `jobs.intake.probes.server`)."""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.intake.probes.base import (
    Bounds,
    Face,
    IntakeError,
    IntakeLimits,
    Measurements,
    MediaKind,
    unreadable,
)

ROOT = Path(__file__).resolve().parents[2]
START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from jobs.intake.probes import server; server.main(int(sys.argv[2]))"
)
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""All that the probes' environment holds. One thread: whoever forks must have no other."""
START_SECONDS = 60
GRACE_SECONDS = 5
"""Beyond the probe's own time-out; it matters only when that one doesn't work."""
MAX_ANSWER_BYTES = 2**16


class SandboxError(Exception):
    """Probes can't be run here: no file is at fault."""


class ProbeServer:
    """The server process that belongs to this process, and the socket that controls it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", START, str(ROOT), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # It ends with its owner, and not before: a probe may be on its way.
            )
        if not self._started():
            self.stop()
            raise SandboxError("the server of the probes did not start")

    def _started(self) -> bool:
        self._control.settimeout(START_SECONDS)
        try:
            return bool(self._control.recv(1))
        except TimeoutError:
            return False

    def fork_for(self, connection: socket.socket) -> None:
        """Have a new process serve `connection`.

        Raises:
            OSError: The server is gone.
        """
        socket.send_fds(self._control, [b"f"], [connection.fileno()])

    def stop(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.wait()


_server: ProbeServer | None = None
_lock = threading.Lock()


def run_probe(kind: MediaKind, source: Path, out: Path, limits: IntakeLimits, bounds: Bounds) -> Measurements:
    """Normalise `source` into the new file `out`, in a confined process that works in its folder.

    Raises:
        IntakeError: The file's fault, or a process that crashed or reached a limit over it.
        SandboxError: Probes can't be run.
    """
    request = {
        "kind": kind,
        "source": str(source),
        "out": str(out),
        "limits": asdict(limits),
        "bounds": asdict(bounds),
    }
    answer = _exchange(request, bounds.wall_seconds + GRACE_SECONDS)
    if answer is None:
        raise unreadable(kind)
    if "no_space" in answer:
        raise SandboxError("no space is left for the copies of uploads")
    if "error" in answer:
        raise IntakeError(**answer["error"])
    measured = answer["measurements"]
    faces = tuple(Face(**face) for face in measured.pop("faces"))
    return Measurements(**measured, faces=faces)


def _exchange(request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """The answer, or None from a process that ended without one."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            _fork_for(theirs)
        ours.settimeout(seconds)
        try:
            ours.sendall(json.dumps(request).encode())
            ours.shutdown(socket.SHUT_WR)
            with ours.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.read(MAX_ANSWER_BYTES))
        except (OSError, ValueError):
            return None
    return answer


def _fork_for(connection: socket.socket) -> None:
    """Hand `connection` to the server, which is started where this process has none yet or has lost it."""
    global _server
    with _lock:
        if _server and _server.owner == os.getpid():
            try:
                _server.fork_for(connection)
            except OSError:
                _server.stop()
            else:
                return
        _server = ProbeServer()
        _server.fork_for(connection)


@atexit.register
def _stop() -> None:
    if _server and _server.owner == os.getpid():
        _server.stop()
