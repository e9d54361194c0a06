from pathlib import Path

import av
import numpy as np
import pytest
import torch

from InfiniteTalk.audio import NoSoundError, load_speech
from tests.infinitetalk.recordings import GOLDEN, error, tensors


def write_sound(path: Path, sound: np.ndarray, rate: int, codec: str = "pcm_s16le") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono" if len(sound) == 1 else "stereo")
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32), format="fltp", layout=stream.layout.name)
        frame.rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_stereo_of_44100_hz_is_loaded_as_by_the_reference() -> None:
    speech = load_speech(GOLDEN / "speech_tiny.wav")
    assert speech.dtype == np.float32
    assert error(torch.from_numpy(speech), tensors("audio_frontend")["speech_loaded"]) == 0


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_a_tone_keeps_its_length_and_pitch_at_any_sampling_rate(tmp_path: Path, rate: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    speech = load_speech(write_sound(tmp_path / "tone.wav", tone[None], rate))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(speech) == 16_000
    assert np.abs(speech - expected)[200:-200].max() < 1e-3


def test_the_sound_of_a_compressed_file_is_loaded(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    speech = load_speech(write_sound(tmp_path / "tone.flac", tone[None], 48_000, codec="flac"))
    assert len(speech) == 16_000


def test_a_file_without_sound_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(stream.encode(None))
    with pytest.raises(NoSoundError):
        load_speech(tmp_path / "mute.mp4")
