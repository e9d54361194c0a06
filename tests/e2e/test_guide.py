"""The snippets of docs/API.md, run as they stand against a whole stack."""

import os
import re
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.conftest import Live

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 280


def snippets(language: str) -> str:
    """All blocks of a language, in order."""
    guide = (ROOT / "docs" / "API.md").read_text()
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", guide, re.DOTALL | re.MULTILINE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reader's folder: two pictures, half a second of speech of each of two people, and both in stereo."""
    for name in ("portrait.png", "couple.png"):
        shutil.copy(ROOT / "samples" / name, tmp_path)
    with wave.open(str(ROOT / "samples" / "speech.wav")) as source:
        parameters, half_a_second = source.getparams(), source.getframerate() // 2
        voices = [np.frombuffer(source.readframes(half_a_second), "<i2") for _ in range(2)]
    for name, channels in (
        ("speech.wav", voices[:1]),
        ("second.wav", voices[1:]),
        ("interview.wav", voices),
    ):
        with wave.open(str(tmp_path / name), "wb") as target:
            target.setparams(parameters._replace(nchannels=len(channels)))
            target.writeframes(np.stack(channels, axis=1).tobytes())
    return tmp_path


@pytest.mark.parametrize(
    ("language", "command"),
    [("bash", ["bash", "-euo", "pipefail"]), ("python", [sys.executable, "-W", "error::DeprecationWarning"])],
)
def test_the_snippets_of_the_guide_work(live: Live, folder: Path, language: str, command: list[str]):
    script = folder / "snippets"
    script.write_text(snippets(language))
    environment = os.environ | {"AVATAR_URL": live.url, "AVATAR_KEY": live.key}
    run = subprocess.run(
        [*command, str(script)], cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert (folder / "video.mp4").stat().st_size > 1000
