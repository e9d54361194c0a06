"""Makes speech: runs the engine's program, which gets the texts only by its standard input."""

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings

from jobs.intake.speech import espeak, voices
from jobs.intake.speech.texts import Spoken, TextError

log = logging.getLogger(__name__)

# A network takes two cores and two gigabytes: one text at a time in a process, however many wait.
_speaking = threading.Lock()


def speak(spoken: Spoken, out: Path, *, max_seconds: float, time_limit: float) -> None:
    """Say the lines into the new WAV file `out`: a channel for each speaker.

    Args:
        spoken: What to say.
        out: Where the speech goes.
        max_seconds: How long it may be.
        time_limit: How many seconds the engine may take.

    Raises:
        TextError: `audio_too_long`, or `speech_failed` where the engine is away, fails or takes too long.
    """
    engine = voices.engine_of(settings.SPEECH_ENGINE)
    if engine is None or not all(line.voice in engine.voices for line in spoken.lines):
        raise TextError("speech_failed", "The voice is not available at the moment.")
    request = {
        "out": str(out),
        "speakers": spoken.speakers,
        "max_seconds": max_seconds,
        "models": settings.SPEECH_MODEL_PATH,
        "lines": [asdict(line) | {"voice": engine.voices[line.voice].name} for line in spoken.lines],
    }
    try:
        with _turn(time_limit) as left:
            status = _run(engine.program, request, left)
    except TimeoutError as error:
        raise TextError("speech_failed", "The speech could not be made in time.") from error
    if status == espeak.TOO_LONG:
        detail = f"The text takes longer to say than the {max_seconds:.0f} s that the plan allows."
        raise TextError("audio_too_long", detail)
    if status:
        # Not what it wrote: that may hold the text.
        log.error("the speech engine ended with status %d", status)
        raise TextError("speech_failed", "The speech could not be made.")


@contextmanager
def _turn(time_limit: float) -> Iterator[float]:
    """Wait until no other text is said here; gives the seconds that are left.

    Raises:
        TimeoutError: None are.
    """
    began = time.monotonic()
    if not _speaking.acquire(timeout=time_limit):
        raise TimeoutError
    try:
        yield time_limit - (time.monotonic() - began)
    finally:
        _speaking.release()


def _run(program: Path, request: Mapping[str, Any], seconds: float) -> int:
    """The exit status of a program that reads the request; it sees nothing of our environment.

    Raises:
        TimeoutError: It takes too long.
    """
    try:
        return subprocess.run(
            [settings.SPEECH_PYTHON or sys.executable, "-I", str(program)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
            env={},
        ).returncode
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
