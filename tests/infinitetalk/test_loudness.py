import numpy as np
import pytest
import torch

from InfiniteTalk.loudness import integrated_loudness, normalize_loudness
from tests.infinitetalk.recordings import error, metadata, tensors

RECORDED = "audio_frontend"


def test_speech_gets_the_loudness_that_the_reference_gives_it() -> None:
    speech = tensors(RECORDED)["speech_loaded"].numpy()
    assert integrated_loudness(speech) == pytest.approx(metadata(RECORDED)["loudness_before"], abs=1e-6)
    assert error(torch.from_numpy(normalize_loudness(speech)), tensors(RECORDED)["speech_normalised"]) < 1e-7


@pytest.mark.parametrize("speaker", ["first", "second"])
def test_two_speakers_are_brought_to_the_same_loudness_each(speaker: str) -> None:
    ours = normalize_loudness(tensors(RECORDED)[f"two/{speaker}_loaded"].numpy())
    assert error(torch.from_numpy(ours), tensors(RECORDED)[f"two/para_{speaker}"]) < 1e-7


def test_a_full_scale_sine_of_997_hz_measures_what_the_recommendation_says() -> None:
    sine = np.sin(2 * np.pi * 997 / 48_000 * np.arange(5 * 48_000))
    assert integrated_loudness(sine, sampling_rate=48_000) == pytest.approx(-3.01, abs=0.05)


def test_pauses_do_not_count() -> None:
    speech = tensors(RECORDED)["speech_loaded"].numpy()
    with_pause = np.concatenate([speech, np.zeros(5 * 16_000, np.float32)])
    assert integrated_loudness(with_pause) == pytest.approx(integrated_loudness(speech), abs=1.0)


def test_silence_stays_silence() -> None:
    silence = np.zeros(32_077, np.float32)
    assert integrated_loudness(silence) == -np.inf
    assert np.array_equal(normalize_loudness(silence), silence)


def test_speech_shorter_than_a_gating_block_is_brought_to_the_target() -> None:
    short = 0.1 * tensors(RECORDED)["speech_loaded"].numpy()[: int(0.3 * 16_000)]
    assert integrated_loudness(normalize_loudness(short)) == pytest.approx(-23.0, abs=1e-4)
