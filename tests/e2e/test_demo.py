"""The whole chain, as `make demo` starts it: from nothing to a video, and nothing left behind."""

import asyncio
import wave
from pathlib import Path

import av
import pytest

from launcher import demo, stack

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of a fresh clone, in an environment that names no services."""
    for name in ("DATABASE_URL", "REDIS_URL", "STORAGE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "avatar_api.settings.local")
    monkeypatch.setattr(stack, "STATE", tmp_path / "state")
    monkeypatch.setattr(stack, "DEMO_FILE", tmp_path / "state" / "demo.json")
    monkeypatch.setattr(demo, "LOGS", tmp_path / "state" / "logs")
    return tmp_path


@pytest.fixture
def a_second_of_speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    with wave.open(str(SAMPLES / "speech.wav")) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getframerate()))
    return path


def test_the_demo_makes_a_video_from_nothing_and_stops_everything(
    clone: Path, a_second_of_speech: Path, capfd: pytest.CaptureFixture[str]
):
    target = clone / "demo.mp4"
    made = demo.demo(None, SAMPLES / "portrait.png", a_second_of_speech, target, text="", keep=False)
    assert asyncio.run(made) == 0

    with av.open(str(target)) as video:
        assert video.duration / av.time_base == pytest.approx(1, abs=0.05)
        assert {stream.codec_context.name for stream in video.streams} == {"h264", "aac"}
    shown = capfd.readouterr().out
    for name in ("/docs", "/v1/jobs", "/admin/", "av_test_"):
        assert name in shown
    assert not (clone / "state" / "processes").exists()
    logged = "".join(log.read_text() for log in (clone / "state" / "logs").iterdir())
    assert "Traceback" not in logged
    assert "av_test_" not in logged
