"""What the receipt says of pictures that don't look as they should."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from gpu_worker.contract.presets import Resolution
from gpu_worker.contract.spec import SpeakingOrder
from gpu_worker.contract.windows import STANDARD_WINDOWS
from gpu_worker.engines.preview.framing import frame_size
from gpu_worker.rendering.quality import QualityLog, shown_part
from InfiniteTalk.sizes import BUCKETS, Size, choose_bucket
from tests.media_samples import moving_picture, tone, write_sound

Frames = npt.NDArray[np.uint8]


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two windows: the first silent, the second spoken."""
    silence = np.zeros(round(3.24 * 48_000))
    return write_sound(tmp_path / "speech.flac", np.concatenate([silence, tone(220, 2.76)]))


def findings(speech: Path, frames: Frames, reference: Path | None = None, window: int = 1) -> dict[str, Any]:
    quality = QualityLog(reference, (speech,), SpeakingOrder.TOGETHER)
    quality.look(STANDARD_WINDOWS.plan(150)[window], frames)
    return quality.findings()


def test_a_moving_picture_is_fine(speech: Path) -> None:
    found = findings(speech, moving_picture(69))
    assert found == {
        "windows_seen": 1,
        "black_windows": [],
        "frozen_windows": [],
        "colour_drift": None,
        "checks_failed": 0,
    }


def test_a_black_window_is_named(speech: Path) -> None:
    assert findings(speech, np.zeros((69, 48, 64, 3), np.uint8))["black_windows"] == [1]


def test_a_picture_that_stands_still_while_somebody_speaks_is_named(speech: Path) -> None:
    still = np.repeat(moving_picture(1), 69, axis=0)
    assert findings(speech, still)["frozen_windows"] == [1]
    assert findings(speech, still, window=0)["frozen_windows"] == []


def test_colours_are_compared_with_the_part_of_the_picture_that_is_shown(
    speech: Path, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (192, 48), (255, 255, 255))
    picture.paste((100, 50, 50), (64, 0, 128, 48))
    picture.save(tmp_path / "picture.png")
    same = np.full((69, 48, 64, 3), (100, 50, 50), np.uint8)
    redder = np.full((69, 48, 64, 3), (151, 50, 50), np.uint8)
    assert findings(speech, same, tmp_path / "picture.png")["colour_drift"] == pytest.approx(0, abs=0.01)
    assert findings(speech, redder, tmp_path / "picture.png")["colour_drift"] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("resolution", list(Resolution))
def test_the_part_of_the_picture_that_is_shown_lies_within_it_whatever_its_size(
    resolution: Resolution,
) -> None:
    random = np.random.default_rng(0)
    sizes = [(600, 600), (300, 300), (896, 1152), (509, 770), *random.integers(64, 1500, (2000, 2)).tolist()]
    for width, height in sizes:
        bucket = choose_bucket(Size(height, width), BUCKETS[resolution.value])
        for video in (frame_size(width, height, resolution), (bucket.width, bucket.height)):
            left, top, right, bottom = box = shown_part((width, height), video)
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            assert (right - left) / (bottom - top) == pytest.approx(video[0] / video[1])
            Image.new("1", (width, height)).resize((1, 1), Image.Resampling.NEAREST, box=box)


def test_a_check_that_fails_is_logged_and_counted_and_the_others_go_on(
    speech: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "picture.png").write_bytes(b"no picture")
    found = findings(speech, np.zeros((69, 48, 64, 3), np.uint8), tmp_path / "picture.png")
    assert found["checks_failed"] == 1
    assert found["black_windows"] == [1]
    assert "quality check of the colour failed" in caplog.text


def test_speech_that_cannot_be_read_fails_its_check_and_nothing_else(tmp_path: Path) -> None:
    found = findings(tmp_path / "missing.flac", np.zeros((69, 48, 64, 3), np.uint8))
    assert found["checks_failed"] == 1
    assert found["black_windows"] == [1]
