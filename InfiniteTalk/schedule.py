"""Timesteps at which a window is denoised: the published spacing, or explicit ones."""

from collections.abc import Sequence

import numpy as np
import torch

TRAIN_TIMESTEPS = 1000


def flow_match_timesteps(num_inference_steps: int, shift: float) -> torch.Tensor:
    """Timesteps of the steps and a final 0, float32 [num_inference_steps + 1].

    They fall evenly from 1000 to 1 and are then shifted towards noise: `shift * r / (1 + (shift - 1) * r)`.
    """
    # NumPy's float32 values are those of the published model; torch's differ in the last bit.
    even = torch.from_numpy(np.linspace(TRAIN_TIMESTEPS, 1, num_inference_steps, dtype=np.float32))
    ratio = even / TRAIN_TIMESTEPS
    shifted = TRAIN_TIMESTEPS * (shift * ratio / (1 + (shift - 1) * ratio))
    return torch.cat([shifted, torch.zeros(1)])


def shift_timesteps(base_timesteps: Sequence[float], shift: float) -> tuple[float, ...]:
    """Explicit timesteps, shifted towards noise: 1000, 750, 500, 250 by 5 → 1000, 937.5, 833.3, 625."""
    ratios = (timestep / TRAIN_TIMESTEPS for timestep in base_timesteps)
    return tuple(TRAIN_TIMESTEPS * shift * ratio / (1 + (shift - 1) * ratio) for ratio in ratios)
