"""Makes speech: runs the engine's program, which has the texts from its standard input alone."""

import json
import logging
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from jobs.intake.speech import espeak, voices
from jobs.intake.speech.texts import Spoken, TextError

log = logging.getLogger(__name__)

PROGRAM = Path(espeak.__file__ or "")


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
    offered = voices.offered()
    if not all(line.voice in offered for line in spoken.lines):
        raise TextError("speech_failed", "The voice is not available at the moment.")
    request = {
        "out": str(out),
        "speakers": spoken.speakers,
        "max_seconds": max_seconds,
        "lines": [asdict(line) | {"voice": offered[line.voice].name} for line in spoken.lines],
    }
    try:
        ended = subprocess.run(
            [sys.executable, "-I", str(PROGRAM)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=time_limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TextError("speech_failed", "The speech could not be made in time.") from error
    if ended.returncode == espeak.TOO_LONG:
        detail = f"The text takes longer to say than the {max_seconds:.0f} s that the plan allows."
        raise TextError("audio_too_long", detail)
    if ended.returncode:
        # Not what it wrote: that may hold the text.
        log.error("the speech engine ended with status %d", ended.returncode)
        raise TextError("speech_failed", "The speech could not be made.")
