"""Decodes uploads in processes that can do little harm.

Whoever decodes a stranger's file may be taken over by it. So each file is decoded in a process of its own,
with hard limits on memory, time and files, started from an empty environment: no secret was ever in its
memory. Starting Python and FFmpeg anew would take longer than most files do; therefore this server
imports them once and forks for each probe. It reads nothing of any request itself.

It imports no Django and ends when the process that started it does (see `jobs.intake.sandbox`). Each byte on
the control socket brings one file descriptor, the socket of one probe: the request comes on it and the answer
goes back on it, as JSON.
"""

import errno
import json
import os
import resource
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from jobs.intake.probes.base import Bounds, IntakeError, IntakeLimits, MediaKind
from jobs.intake.probes.image import probe_image
from jobs.intake.probes.refusals import named_refusal
from jobs.intake.probes.speech import probe_speech
from jobs.intake.probes.video import probe_video

PROBES = {MediaKind.IMAGE: probe_image, MediaKind.SPEECH: probe_speech, MediaKind.VIDEO: probe_video}
READY = b"r"
NICENESS = 5
"""Requests that need no probe go first."""


def main(control_descriptor: int) -> None:
    """Fork for each socket that comes, until the other side closes the control socket."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The kernel then reaps the children.
    with socket.socket(fileno=control_descriptor) as control:
        control.sendall(READY)
        while descriptors := socket.recv_fds(control, 1, 1)[1]:
            if os.fork() == 0:
                control.close()
                _serve(descriptors[0])
            os.close(descriptors[0])


def _serve(descriptor: int) -> NoReturn:
    """Answer one request and end; whatever goes wrong, the other side sees the socket close."""
    try:
        with socket.socket(fileno=descriptor) as connection, connection.makefile("rw") as stream:
            json.dump(_answer(json.load(stream)), stream)
    finally:
        os._exit(0)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    kind, limits = MediaKind(request["kind"]), IntakeLimits(**request["limits"])
    source, out = Path(request["source"]), Path(request["out"])
    _confine(Bounds(**request["bounds"]), out.parent)
    try:
        return {"measurements": asdict(PROBES[kind](source, out, limits))}
    except IntakeError as error:
        fault = error
    except Exception as error:  # Decoders fail in ways without number; the file is at fault in all but one.
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return {"no_space": True}
        fault = named_refusal(kind, source)
    return {"error": {"code": fault.code, "detail": fault.detail}}


def _confine(bounds: Bounds, folder: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    signal.setitimer(signal.ITIMER_REAL, bounds.wall_seconds)  # SIGALRM ends the process, also inside C code.
    os.nice(NICENESS)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, bounds.cpu_seconds)
    _limit(resource.RLIMIT_FSIZE, bounds.file_bytes)
    _limit(resource.RLIMIT_NOFILE, bounds.open_files)
    _limit(resource.RLIMIT_NPROC, bounds.tasks)
    if sys.platform != "darwin":  # macOS has this limit in name only; there a probe is bounded in time.
        _limit(resource.RLIMIT_AS, bounds.memory_bytes)
    os.chdir(folder)


def _limit(what: int, value: int) -> None:
    """Allow no more than `value`, or than was allowed before where that is less."""
    _, hard = resource.getrlimit(what)
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (limit, limit))
