"""How the mouth follows a recording, whatever lies around the speech in it."""

import wave
from pathlib import Path

import numpy as np
import pytest

from gpu_worker.contract.windows import FPS
from gpu_worker.engines.preview.speech import analyse, mouth_curves
from tests.gpu_worker import preview_jobs

SPOKEN_SECONDS = 2


def opening(path: Path, num_frames: int) -> np.ndarray:
    return mouth_curves(analyse(path), 0, num_frames).opening


def within_silence(path: Path, before: int, after: int) -> Path:
    """Two seconds of the sample speech between seconds of faint noise."""
    with wave.open(str(preview_jobs.SPEECH)) as source, wave.open(str(path), "wb") as out:
        rate = source.getframerate()
        noise = np.random.default_rng(0)
        out.setparams(source.getparams())
        out.writeframes(noise.integers(-3, 4, before * rate, np.int16).tobytes())
        out.writeframes(source.readframes(SPOKEN_SECONDS * rate))
        out.writeframes(noise.integers(-3, 4, after * rate, np.int16).tobytes())
    return path


@pytest.mark.parametrize(("before", "after"), [(20, 8), (0, 40)])
def test_speech_within_long_silence_moves_the_mouth_as_it_does_by_itself(tmp_path, before, after) -> None:
    by_itself = preview_jobs.write_speech(tmp_path / "speech.wav", SPOKEN_SECONDS)
    expected = opening(by_itself, SPOKEN_SECONDS * FPS)
    everything = opening(
        within_silence(tmp_path / "long.wav", before, after), (before + SPOKEN_SECONDS + after) * FPS
    )
    spoken = everything[before * FPS :][: SPOKEN_SECONDS * FPS]
    assert np.abs(spoken - expected).max() < 0.15
    assert everything.sum() < 1.1 * expected.sum()
