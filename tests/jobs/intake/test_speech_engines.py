"""Speech engines of others: packages that are installed beside ours."""

from pathlib import Path

import pytest
from pytest_django import Settings

from jobs.intake.speech import checks, synthesis, voices
from jobs.intake.speech.texts import Line, Spoken

PACKAGE = """
from pathlib import Path
from jobs.intake.speech.voices import Engine, Pace, Voice

pace = Pace(0.06, 0.4, 0.1)
low, high = (Voice(f"hum-{name}", "en-US", "male", "hum", name, ("LATIN",), pace) for name in ("low", "high"))
ENGINE = Engine(Path(__file__).with_name("humming_program.py"), {voice.id: voice for voice in (low, high)})
"""
PROGRAM = """
import json, sys
request = json.load(sys.stdin)
open(request["out"], "w").write(" ".join(line["voice"] for line in request["lines"]))
"""


@pytest.fixture
def humming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    (tmp_path / "humming.py").write_text(PACKAGE)
    (tmp_path / "humming_program.py").write_text(PROGRAM)
    about = tmp_path / "humming-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: humming\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[avatar_api.speech_engines]\nhum = humming:ENGINE\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings.SPEECH_ENGINE = "hum"


@pytest.mark.usefixtures("humming")
def test_a_package_brings_voices_and_the_program_that_says_texts(tmp_path: Path) -> None:
    assert checks.the_speech_engine_is_known() == []
    assert list(voices.offered()) == ["hum-low", "hum-high"]
    said = tmp_path / "said"
    synthesis.speak(Spoken((Line("hum-high", "Hi."),)), said, max_seconds=9, time_limit=60)
    assert said.read_text() == "high"


def test_an_engine_that_is_not_installed_is_refused_before_anything_starts(settings: Settings) -> None:
    settings.SPEECH_ENGINE = "whistle"
    assert [found.id for found in checks.the_speech_engine_is_known()] == ["jobs.E007"]
    assert voices.offered() == {}
