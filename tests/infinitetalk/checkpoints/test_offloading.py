from pathlib import Path

import torch

from InfiniteTalk.checkpoints.loading import load_transformer
from InfiniteTalk.checkpoints.offloading import keep_resident
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from tests.infinitetalk.checkpoints.test_lora import velocity


def test_blocks_beyond_the_budget_are_fetched_and_compute_the_same(prepared_bf16: Path) -> None:
    options = LoadOptions(torch_dtype=torch.float32)
    transformer = load_transformer(CheckpointPaths.below(prepared_bf16), "single", options)
    before = velocity(transformer)
    a_block = sum(parameter.numel() for parameter in transformer.blocks[0].parameters())

    assert keep_resident(transformer, a_block, torch.device("cpu")) == 1

    assert torch.equal(velocity(transformer), before)
