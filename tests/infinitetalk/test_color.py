import pytest
import torch

from InfiniteTalk.color import match_color
from tests.infinitetalk.recordings import error, tensors


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_colours_are_matched_as_by_the_reference(strength: float) -> None:
    """The recording is float32: exact arithmetic differs from it by 2.4e-6 as well."""
    recorded = tensors("misc")
    ours = match_color(recorded["colour/source"], recorded["colour/reference"], strength)
    assert error(ours, recorded[f"colour/out_{strength}"]) < 5e-6


def test_a_picture_matched_to_itself_keeps_its_colours() -> None:
    picture = torch.rand(1, 3, 1, 20, 24) * 2 - 1
    assert error(match_color(picture, picture), picture) < 1e-3


def test_a_strength_of_0_only_clips() -> None:
    recorded = tensors("misc")
    ours = match_color(recorded["colour/source"], recorded["colour/reference"], 0.0)
    assert error(ours, recorded["colour/source"].clamp(-1, 1)) < 1e-6


def test_a_flat_frame_takes_the_mean_of_the_reference_without_noise() -> None:
    flat = torch.full((1, 3, 1, 20, 24), 0.3)
    matched = match_color(flat, tensors("misc")["colour/reference"])
    assert matched.isfinite().all()
    assert error(matched.amax((3, 4)), matched.amin((3, 4))) == 0
