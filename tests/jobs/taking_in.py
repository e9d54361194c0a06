"""How tests hand a file to the intake, and make sure that a refused one leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from jobs.intake.normalize import IntakeError, IntakeLimits, NormalisedFile

LIMITS = IntakeLimits(max_speech_seconds=60)
Probe = Callable[[Path, IntakeLimits, Path], NormalisedFile]


def accepted(probe: Probe, source: Path, limits: IntakeLimits = LIMITS) -> NormalisedFile:
    """The normalised copy, which is the only new file."""
    folder = source.parent / "accepted"
    folder.mkdir()
    file = probe(source, limits, folder)
    assert list(folder.iterdir()) == [file.path]
    return file


def refused(probe: Probe, source: Path, limits: IntakeLimits = LIMITS, *, says: bool = False) -> str:
    """The code of the error, or what it says; nothing is left behind."""
    with TemporaryDirectory(dir=source.parent) as folder:
        with pytest.raises(IntakeError) as caught:
            probe(source, limits, Path(folder))
        assert list(Path(folder).iterdir()) == []
    return caught.value.detail if says else caught.value.code
