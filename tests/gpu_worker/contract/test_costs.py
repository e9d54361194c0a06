from functools import partial

import pytest

from gpu_worker.contract.costs import TYPICAL_SIZE, estimated_gpu_seconds, floor_seconds, window_seconds
from gpu_worker.contract.gpu_memory import context_bytes, transformer_bytes
from gpu_worker.contract.operations import VideoSize, forward_operations, window_operations
from gpu_worker.contract.presets import PresetName, Resolution
from gpu_worker.contract.setups import GPUS, H100, L40S, Attention, Precision, Setup, VaePrecision


@pytest.mark.parametrize(
    ("height", "width", "tokens", "petaflop"),
    [(640, 640, 33_600, 1.89), (832, 448, 30_576, 1.65), (960, 960, 75_600, 6.86), (1280, 704, 73_920, 6.60)],
)
def test_a_forward_costs_what_is_known_of_it(height: int, width: int, tokens: int, petaflop: float) -> None:
    size = VideoSize(height, width)

    assert size.tokens == tokens
    assert forward_operations(size).total / 1e15 == pytest.approx(petaflop, abs=0.006)


def test_half_of_a_480p_forward_is_attention_and_two_thirds_at_720p() -> None:
    shares = {}
    for resolution, size in TYPICAL_SIZE.items():
        operations = forward_operations(size)
        shares[resolution] = operations.attention / operations.total

    assert shares[Resolution.P480] == pytest.approx(0.50, abs=0.01)
    assert shares[Resolution.P720] == pytest.approx(0.69, abs=0.01)


def test_passes_and_steps_multiply_a_window() -> None:
    size = TYPICAL_SIZE[Resolution.P480]
    forward = forward_operations(size).total
    one = window_operations(size, steps=4, passes=1, motion_frames=9).total
    three = window_operations(size, steps=4, passes=3, motion_frames=9).total

    assert three - one == pytest.approx(8 * forward, rel=1e-3)


def test_eight_bits_halve_the_blocks_and_float8_units_the_time_for_them() -> None:
    size = TYPICAL_SIZE[Resolution.P480]
    forward = forward_operations(size)

    assert transformer_bytes(Precision.FP8) < 0.52 * transformer_bytes(Precision.BF16)
    bf16, stored, computed = (floor_seconds(forward, 0, L40S, Setup(precision)) for precision in Precision)
    assert stored == bf16
    assert computed / stored == pytest.approx(0.75, abs=0.01)


def test_the_contexts_take_what_is_known_of_them() -> None:
    size = TYPICAL_SIZE[Resolution.P480]

    assert context_bytes(size, passes=1) / 1e6 == pytest.approx(419 + 211 + 551, abs=1)
    assert context_bytes(size, passes=3) / 1e6 == pytest.approx(2 * 419 + 211 + 551 + 52, abs=1)


def test_bytes_that_are_moved_take_the_bandwidth_beside_the_operations() -> None:
    forward = forward_operations(TYPICAL_SIZE[Resolution.P480])
    idle, moving = (floor_seconds(forward, traffic, L40S) for traffic in (0, L40S.bytes_per_second))

    assert moving - idle == pytest.approx(1)


@pytest.mark.parametrize("faster", [Setup(attention=Attention.BITS_8), Setup(vae=VaePrecision.BF16)])
def test_fewer_bits_take_less_time(faster: Setup) -> None:
    size = TYPICAL_SIZE[Resolution.P480]

    seconds = partial(window_seconds, size, steps=4, passes=2, motion_frames=9)
    assert seconds(setup=faster) < seconds()


def test_some_seconds_of_speech_take_an_l40s_a_minute_or_two_with_the_fast_preset() -> None:
    def estimate(num_frames: int, preset: PresetName, resolution: Resolution) -> float:
        return estimated_gpu_seconds(num_frames=num_frames, preset=preset, resolution=resolution)

    assert 30 < estimate(75, PresetName.FAST, Resolution.P480) < 120
    assert estimate(75, PresetName.QUALITY, Resolution.P720) > 3000


def test_an_estimate_grows_with_the_windows_and_not_in_between() -> None:
    estimates = [
        estimated_gpu_seconds(num_frames=n, preset=PresetName.FAST, resolution=Resolution.P480)
        for n in (10, 81, 82, 153)
    ]

    assert estimates[0] == estimates[1] < estimates[2] == estimates[3]


def test_two_people_cost_a_little_more_than_one() -> None:
    one, two = (
        estimated_gpu_seconds(
            num_frames=81, preset=PresetName.FAST, resolution=Resolution.P480, speakers=speakers
        )
        for speakers in (1, 2)
    )

    assert 1.0 < two / one < 1.05


def test_a_faster_gpu_takes_less() -> None:
    seconds = {
        gpu.name: estimated_gpu_seconds(
            num_frames=81, preset=PresetName.FAST, resolution=Resolution.P480, gpu=gpu
        )
        for gpu in GPUS
    }

    assert min(seconds, key=lambda name: seconds[name]) == H100.name
