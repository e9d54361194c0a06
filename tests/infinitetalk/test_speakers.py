import numpy as np
import pytest

from InfiniteTalk.audio import SpeakingOrder, combine_speakers
from tests.infinitetalk.recordings import tensors


def recorded(name: str) -> np.ndarray:
    return tensors("audio_frontend")[f"two/{name}"].numpy()


@pytest.mark.parametrize(("order", "name"), [("together", "para"), ("first_then_second", "add")])
def test_two_speakers_are_laid_out_as_by_the_reference(order: SpeakingOrder, name: str) -> None:
    first, second = combine_speakers(recorded("para_first"), recorded("para_second"), order)
    assert np.array_equal(first, recorded(f"{name}_first"))
    assert np.array_equal(second, recorded(f"{name}_second"))


@pytest.mark.parametrize(("order", "name"), [("together", "para"), ("first_then_second", "add")])
def test_a_silent_first_speaker_is_laid_out_as_by_the_reference(order: SpeakingOrder, name: str) -> None:
    first, second = combine_speakers(None, recorded("none1_para_second"), order)
    assert np.array_equal(first, recorded(f"none1_{name}_first"))
    assert np.array_equal(second, recorded(f"none1_{name}_second"))


def test_a_silent_second_speaker_is_as_long_as_the_first() -> None:
    _, second = combine_speakers(recorded("para_first"), None)
    assert np.array_equal(second, recorded("none_second"))


def test_the_second_speaker_may_begin() -> None:
    first, second = combine_speakers(np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0]), "second_then_first")
    assert first.tolist() == [0, 0, 0, 1, 2]
    assert second.tolist() == [3, 4, 5, 0, 0]


def test_speaking_together_the_shorter_speech_is_followed_by_silence() -> None:
    first, second = combine_speakers(np.array([1.0, 2.0, 3.0]), np.array([4.0]))
    assert first.tolist() == [1, 2, 3]
    assert second.tolist() == [4, 0, 0]
