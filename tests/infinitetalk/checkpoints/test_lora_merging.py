"""LoRAs that are added to the weights as these are read."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from InfiniteTalk.checkpoints.loading import load_transformer
from InfiniteTalk.checkpoints.lora import LoraSwitch
from InfiniteTalk.checkpoints.lora_files import LoraError, LoraLayer, read_lora
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.precision import quantize_rows
from tests.infinitetalk.checkpoints.test_lora import FLOAT32, velocity
from tests.infinitetalk.conftest import LIGHTX2V


@pytest.fixture
def lora_file(tiny_checkpoint: Path) -> Path:
    return tiny_checkpoint / "lora" / f"{LIGHTX2V}.safetensors"


def merging(prepared: Path, lora_file: Path) -> CheckpointPaths:
    return replace(CheckpointPaths.below(prepared), merged_loras={lora_file: 0.8})


def switched_on(prepared: Path, lora_file: Path, options: LoadOptions) -> Tensor:
    transformer = load_transformer(CheckpointPaths.below(prepared), "single", options)
    LoraSwitch(transformer, [read_lora(lora_file)], torch.float32).use({LIGHTX2V: 0.8})
    return velocity(transformer)


def test_merging_gives_what_switching_on_gives(prepared_bf16: Path, lora_file: Path) -> None:
    merged = velocity(load_transformer(merging(prepared_bf16, lora_file), "single", FLOAT32))

    assert (merged - switched_on(prepared_bf16, lora_file, FLOAT32)).abs().max() < 1e-5


def test_rounding_the_sum_to_8_bits_is_no_worse_than_rounding_the_weights_beside_a_lora(
    prepared_bf16: Path, lora_file: Path
) -> None:
    rounded = replace(FLOAT32, quantize=True)
    exact = switched_on(prepared_bf16, lora_file, FLOAT32)

    merged = velocity(load_transformer(merging(prepared_bf16, lora_file), "single", rounded))

    beside = switched_on(prepared_bf16, lora_file, rounded)
    assert (merged - exact).norm() < 1.25 * (beside - exact).norm()


def test_weights_of_8_bits_take_no_lora_for_good(prepared_fp8: Path, lora_file: Path) -> None:
    with pytest.raises(LoraError, match="stored in 8 bits, whose rounding takes away most"):
        load_transformer(merging(prepared_fp8, lora_file), "single", FLOAT32)


def test_of_weights_that_are_rounded_already_a_small_change_would_be_lost() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, down, up = (
        torch.randn(*shape, generator=generator) for shape in ((256, 256), (16, 256), (256, 16))
    )
    change = LoraLayer(down=down, up=0.01 * up / 4).weight_difference()
    assert change is not None

    def effect(before: Tensor, after: Tensor) -> float:
        """Which share of the change is there: 1 for all of it."""
        return float(((after - before) * change).sum() / change.square().sum())

    once = rounded(weight)
    assert effect(once, rounded(once + change)) < 0.5
    assert effect(once, rounded(weight + change)) == pytest.approx(1, abs=0.2)


def rounded(weight: Tensor) -> Tensor:
    values, scale = quantize_rows(weight)
    return values.float() * scale
