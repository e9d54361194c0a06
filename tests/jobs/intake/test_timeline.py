"""What is said comes out at the time at which it was said."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from jobs.intake.normalize import probe_speech
from tests.jobs.taking_in import accepted, refused
from tests.media_samples import Sound, read_sound, tone

RATE = 48_000
FORMATS = [
    ("u.mkv", "pcm_s16le", 960),
    ("u.mkv", "pcm_u8", 960),
    ("u.m4a", "aac", 1024),
    ("u.webm", "libopus", 960),
]


def write_parts(
    path: Path, *parts: tuple[float, Sound], codec: str = "pcm_s16le", frame_samples: int = 960
) -> Path:
    """Sounds at 48 kHz, mono, each with the second at which its time stamps begin."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        for start, samples in parts:
            for first in range(0, len(samples), frame_samples):
                plane = np.ascontiguousarray(samples[None, first : first + frame_samples], np.float32)
                frame = av.AudioFrame.from_ndarray(plane, "fltp", "mono")
                frame.sample_rate = RATE
                (frame,) = av.AudioResampler(stream.format.name, "mono", RATE).resample(frame)
                frame.pts, frame.time_base = round(start * RATE) + first, Fraction(1, RATE)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def loud(samples: Sound, start: float, end: float) -> float:
    return float(np.abs(samples[round(start * RATE) : round(end * RATE)]).mean())


@pytest.mark.parametrize(("name", "codec", "frame_samples"), FORMATS)
def test_a_gap_becomes_silence(tmp_path: Path, name: str, codec: str, frame_samples: int) -> None:
    parts = (0, tone(300, 1)), (2.5, tone(300, 1))
    upload = write_parts(tmp_path / name, *parts, codec=codec, frame_samples=frame_samples)

    file = accepted(probe_speech, upload)

    assert file.duration_seconds == pytest.approx(3.5, abs=0.05)
    sound = read_sound(file.path)
    assert loud(sound, 0.1, 0.9) > 0.05
    assert loud(sound, 1.1, 2.4) < 0.005
    assert loud(sound, 2.6, 3.4) > 0.05


@pytest.mark.parametrize("start", [0.0, 7.0])
def test_an_overlap_is_cut(tmp_path: Path, start: float) -> None:
    first, second = tone(300, 1, level=0.1), tone(300, 1, level=0.5)
    parts = (start, first), (start + 0.5, second)
    upload = write_parts(tmp_path / "upload.mkv", *parts, frame_samples=RATE)

    file = accepted(probe_speech, upload)

    assert file.duration_seconds == pytest.approx(1.5, abs=0.05)
    sound = read_sound(file.path)
    assert loud(sound, 0.1, 0.95) == pytest.approx(0.1 * 2 / np.pi, rel=0.05)
    assert loud(sound, 1.05, 1.45) == pytest.approx(0.5 * 2 / np.pi, rel=0.05)


def test_jitter_below_a_video_frame_changes_nothing(tmp_path: Path) -> None:
    speech = tone(300, 2)
    halves = (0.0, speech[:RATE]), (1.02, speech[RATE:])

    sound = read_sound(accepted(probe_speech, write_parts(tmp_path / "upload.mkv", *halves)).path)

    assert np.abs(sound[:, 0] - speech).max() < 0.001


def test_a_gap_counts_for_the_length_that_is_allowed(tmp_path: Path) -> None:
    upload = write_parts(tmp_path / "upload.mkv", (0, tone(300, 1)), (10_000, tone(300, 1)))

    assert refused(probe_speech, upload) == "audio_too_long"


def test_recordings_that_were_joined_are_kept_whole(tmp_path: Path) -> None:
    files = [write_parts(tmp_path / f"{part}.ogg", (0, tone(300, 15)), codec="libopus") for part in "ab"]
    (tmp_path / "upload.ogg").write_bytes(b"".join(file.read_bytes() for file in files))

    assert accepted(probe_speech, tmp_path / "upload.ogg").duration_seconds == pytest.approx(30, abs=0.1)
