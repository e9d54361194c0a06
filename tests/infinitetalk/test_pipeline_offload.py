from pathlib import Path

import torch

from .tiny_renders import arguments, load, same_frames


def test_models_fetched_in_parts_render_the_same_bits(tiny_checkpoint: Path) -> None:
    pipeline = load(tiny_checkpoint)
    resident = list(pipeline.stream(**arguments(video_frames=21)))
    pipeline.enable_group_offload(onload_device=torch.device("cpu"), offload_type="leaf_level")
    assert same_frames(list(pipeline.stream(**arguments(video_frames=21))), resident)
