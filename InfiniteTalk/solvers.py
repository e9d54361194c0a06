"""From the latents of one step to those of the next, by the velocity that the transformer predicts."""

from dataclasses import dataclass
from typing import Protocol

import torch

from InfiniteTalk.noise import EulerNoise, Noise, StepNoise
from InfiniteTalk.schedule import TRAIN_TIMESTEPS


@dataclass(frozen=True)
class StepEnd:
    """The end of a step, which a solver advances to.

    Attributes:
        window: Index of the step's window.
        step: How many of the window's steps are then done.
        timestep: That the velocity was predicted at, in (0, 1000].
        next_timestep: To advance to; 0 at the window's last step.
        motion_shape: Shape of the window's motion latents.
    """

    window: int
    step: int
    timestep: float
    next_timestep: float
    motion_shape: torch.Size


class Solver(Protocol):
    """Advances the latents of a window from step to step."""

    @property
    def noise(self) -> Noise: ...

    def advance(self, latents: torch.Tensor, velocity: torch.Tensor, end: StepEnd) -> torch.Tensor:
        """The latents at the end of a step, float32 [1, 16, T, h, w].

        Args:
            latents: At its beginning, of the same shape.
            velocity: As guided, of the same shape.
            end: Where the step ends.
        """
        ...


class EulerSolver:
    """Euler's method: as far along the velocity as the noise level falls."""

    def __init__(self, noise: EulerNoise) -> None:
        self.noise = noise

    def advance(self, latents: torch.Tensor, velocity: torch.Tensor, end: StepEnd) -> torch.Tensor:
        self.noise.end_step(end.window, end.motion_shape)
        return latents - velocity * ((end.timestep - end.next_timestep) / TRAIN_TIMESTEPS)


class ConsistencySolver:
    """Multistep consistency sampling: straight to the clean latents, then back by fresh noise.

    As in Y. Song et al., "Consistency Models" (2023), algorithm 1, with the interpolation of flow matching:
    latents at timestep t are `(1 - t / 1000) * clean + t / 1000 * noise`.
    """

    def __init__(self, noise: StepNoise) -> None:
        self.noise = noise

    def advance(self, latents: torch.Tensor, velocity: torch.Tensor, end: StepEnd) -> torch.Tensor:
        fresh = self.noise.after_step(end.window, end.step, latents.shape).to(latents.device)
        clean = latents - velocity * (end.timestep / TRAIN_TIMESTEPS)
        level = end.next_timestep / TRAIN_TIMESTEPS
        return (1 - level) * clean + level * fresh
