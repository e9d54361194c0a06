"""What can be seen in the preview's frames, measured on them as a viewer would."""

import wave

import numpy as np
import pytest

from gpu_worker.contract.windows import FPS
from gpu_worker.engines.preview import Face
from tests.gpu_worker import preview_jobs

NUM_FRAMES = 100


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    frames = preview_jobs.render(num_frames=NUM_FRAMES)
    return [preview_jobs.find_face(frame) for frame in frames]


def speech_level() -> np.ndarray:
    """Loudness of the sample in each frame, dB above -40 dB of its peak."""
    with wave.open(str(preview_jobs.SPEECH)) as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16).astype(float)
        per_frame = sound.getframerate() // FPS
    power = (samples[: NUM_FRAMES * per_frame].reshape(NUM_FRAMES, per_frame) ** 2).mean(1)
    return np.maximum(10 * np.log10((power + 1) / power.max()), -40)


def test_the_mouth_opens_with_the_speech_and_not_later(faces: list[Face]) -> None:
    opening, level = np.array([preview_jobs.mouth_opening(face) for face in faces]), speech_level()
    inner = slice(5, NUM_FRAMES - 5)
    by_lag = {lag: np.corrcoef(opening[inner], np.roll(level, lag)[inner])[0, 1] for lag in range(-5, 6)}
    assert by_lag[0] > 0.6
    assert abs(max(by_lag, key=by_lag.__getitem__)) <= 1


def test_the_mouth_closes_in_the_pauses(faces: list[Face]) -> None:
    opening, level = np.array([preview_jobs.mouth_opening(face) for face in faces]), speech_level()
    assert np.median(opening[level <= -35]) < 0.3 * np.percentile(opening, 95)


def test_the_eyes_blink_and_open_again(faces: list[Face]) -> None:
    opening = np.array([preview_jobs.eye_opening(face) for face in faces])
    closed = opening < 0.5 * np.median(opening)
    assert 1 <= np.count_nonzero(np.diff(closed.astype(int)) == 1) <= 4
    assert closed.mean() < 0.1


def test_the_head_sways_a_little(faces: list[Face]) -> None:
    between_eyes = np.array([face.points[168, :2] for face in faces])
    height = np.linalg.norm(faces[0].points[10, :2] - faces[0].points[152, :2])
    assert 0.005 < np.ptp(between_eyes, axis=0).max() / height < 0.15


def test_the_background_keeps_still(tmp_path) -> None:
    picture = preview_jobs.drawing()
    is_background = picture[..., 0] > picture[..., 2]
    noise = np.random.default_rng(0).integers(60, 220, picture.shape[:2], np.uint8)
    picture[is_background] = noise[is_background][:, None]
    reference = preview_jobs.write_picture(tmp_path / "noise.png", picture)
    frames = preview_jobs.render(reference=reference).astype(np.int16)
    # Beside the head at the eyes' height: a tenth of the picture away from the hair.
    beside = frames[:, 240:320, 60:120]
    assert np.array_equal(beside.min(0), beside.max(0))
