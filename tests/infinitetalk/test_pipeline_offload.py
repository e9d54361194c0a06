from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from InfiniteTalk.pipeline import InfiniteTalkPipeline

from .tiny_renders import arguments, load

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "offload",
    [
        pytest.param(lambda pipeline: pipeline.enable_model_cpu_offload(device=CPU), id="whole models"),
        pytest.param(
            lambda pipeline: pipeline.enable_group_offload(onload_device=CPU, offload_type="leaf_level"),
            id="leaf by leaf",
        ),
    ],
)
def test_models_fetched_when_needed_render_the_same_video(
    tiny_checkpoint: Path, offload: Callable[[InfiniteTalkPipeline], None]
) -> None:
    pipeline = load(tiny_checkpoint)
    resident = list(pipeline.stream(**arguments(video_frames=21)))
    offload(pipeline)
    for _ in range(2):
        fetched = list(pipeline.stream(**arguments(video_frames=21)))
        # Weights that were moved lie elsewhere in memory, and some CPU kernels round by where they lie.
        assert all(
            np.abs(ours.frames.astype(int) - theirs.frames).max() <= 1
            for ours, theirs in zip(fetched, resident, strict=True)
        )
