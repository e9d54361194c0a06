import gc
from pathlib import Path

import torch

from .tiny_renders import arguments, load, settings


def tensor_bytes() -> int:
    """What all living tensors hold."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in gc.get_objects()
        if type(tensor) in (torch.Tensor, torch.nn.Parameter)
    }
    return sum(storages.values())


def test_a_long_video_needs_no_more_memory_than_a_short_one(tiny_checkpoint: Path) -> None:
    small_windows = settings(num_frames=5, motion_frames=1, num_inference_steps=1)
    held = [
        tensor_bytes()
        for window in load(tiny_checkpoint).stream(**arguments(settings=small_windows, video_frames=121))
        if window.index in (2, 25)
    ]
    assert held[0] == held[1]
