"""Where the models go on GPUs of different sizes, and what they compute attention with."""

import pytest

from gpu_worker.contract.setups import STANDARD
from gpu_worker.engines.infinitetalk.placement import (
    GIB,
    ModelBytes,
    Placement,
    choose_placement,
    more_frugal,
    more_frugal_of,
    room_to_work,
)
from InfiniteTalk.sizes import Size

# The real model, prepared; sizes in bytes.
FP8 = ModelBytes(transformer=18 * GIB, text_encoder=6 * GIB, others=2 * GIB)
BF16 = ModelBytes(transformer=34 * GIB, text_encoder=11 * GIB, others=2 * GIB)


@pytest.mark.parametrize(
    ("models", "free_gib", "expected"),
    [
        (FP8, 44, Placement.RESIDENT),  # L40S
        (FP8, 39, Placement.TEXT_ENCODER_ON_HOST),
        (FP8, 23, Placement.PARTLY_OFFLOADED),  # RTX 4090
        (FP8, 12, Placement.OFFLOADED),
        (BF16, 79, Placement.RESIDENT),  # H100
        (BF16, 52, Placement.TEXT_ENCODER_ON_HOST),
        (BF16, 44, Placement.PARTLY_OFFLOADED),
    ],
)
def test_models_are_as_near_to_the_gpu_as_its_memory_allows(
    models: ModelBytes, free_gib: int, expected: Placement
) -> None:
    assert choose_placement(free_gib * GIB, models, 14 * GIB) is expected


def test_larger_pictures_and_more_passes_need_more_room() -> None:
    small, wide = Size(640, 640), Size(1920, 512)

    assert room_to_work(small, speakers=1, passes=2, setup=STANDARD) < room_to_work(
        wide, speakers=1, passes=2, setup=STANDARD
    )
    assert room_to_work(small, speakers=1, passes=1, setup=STANDARD) < room_to_work(
        small, speakers=2, passes=3, setup=STANDARD
    )


def test_of_two_placements_the_one_that_needs_less_memory_is_taken() -> None:
    assert more_frugal_of(Placement.RESIDENT, Placement.OFFLOADED) is Placement.OFFLOADED
    assert more_frugal_of(Placement.PARTLY_OFFLOADED, Placement.RESIDENT) is Placement.PARTLY_OFFLOADED


def test_after_full_memory_comes_the_next_more_frugal_placement_until_there_is_none() -> None:
    assert more_frugal(Placement.RESIDENT) is Placement.TEXT_ENCODER_ON_HOST
    assert more_frugal(Placement.TEXT_ENCODER_ON_HOST) is Placement.PARTLY_OFFLOADED
    assert more_frugal(Placement.PARTLY_OFFLOADED) is Placement.OFFLOADED
    assert more_frugal(Placement.OFFLOADED) is None
