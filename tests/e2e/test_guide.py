"""The snippets of docs/API.md, run as they stand against a whole stack."""

import os
import re
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from tests.e2e.conftest import Live

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120


def snippets(language: str) -> str:
    """All blocks of a language, in order."""
    guide = (ROOT / "docs" / "API.md").read_text()
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", guide, re.DOTALL | re.MULTILINE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reader's folder: a portrait, and half a second of speech."""
    shutil.copy(ROOT / "samples" / "portrait.png", tmp_path)
    sample, speech = ROOT / "samples" / "speech.wav", tmp_path / "speech.wav"
    with wave.open(str(sample)) as source, wave.open(str(speech), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getframerate() // 2))
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
