"""Where the noise comes from that a window's latents start as, and that some solvers add between steps."""

from typing import Protocol

import numpy as np
import torch


class Noise(Protocol):
    """Draws the latents that a window starts as."""

    @property
    def state(self) -> torch.Tensor | None:
        """What a window or step needs so that it can be gone on from; None if nothing."""
        ...

    def restore(self, state: torch.Tensor | None) -> None: ...

    def begin_window(self, window: int, shape: torch.Size, motion_shape: torch.Size) -> torch.Tensor:
        """The initial latents, float32 of `shape`."""
        ...


class EulerNoise(Noise, Protocol):
    """For a solver that adds no noise; what is drawn all the same keeps step with the reference."""

    def end_step(self, window: int, motion_shape: torch.Size) -> None: ...


class StepNoise(Noise, Protocol):
    """For a solver that adds fresh noise after each step."""

    def after_step(self, window: int, step: int, shape: torch.Size) -> torch.Tensor:
        """Noise for the latents after `step` steps, from 1 on; float32 of `shape`."""
        ...


class WindowNoise:
    """A generator for each window and step, seeded by seed, window and step: any can be rendered by itself.

    Drawn on the CPU, so that it is the same on every device.
    """

    state = None

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def restore(self, state: torch.Tensor | None) -> None:
        """Nothing is carried from window to window."""

    def begin_window(self, window: int, shape: torch.Size, motion_shape: torch.Size) -> torch.Tensor:
        return torch.randn(shape, generator=window_generator(self.seed, window))

    def end_step(self, window: int, motion_shape: torch.Size) -> None:
        """Nothing is drawn that isn't used."""

    def after_step(self, window: int, step: int, shape: torch.Size) -> torch.Tensor:
        return torch.randn(shape, generator=_generator(self.seed, window, step))


class _OneGenerator:
    """One generator for the whole run, as in published programs; its state travels with each saved one."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)

    @property
    def state(self) -> torch.Tensor:
        return self.generator.get_state()

    def restore(self, state: torch.Tensor | None) -> None:
        if state is not None:
            self.generator.set_state(state)

    def _draw(self, shape: torch.Size) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)


class ReferenceNoise(_OneGenerator):
    """Draws in the order of InfiniteTalk's reference.

    It also noises the motion latents of every step after the first window, and then overwrites the result:
    these draws are made and dropped, because later windows depend on their number.
    """

    def begin_window(self, window: int, shape: torch.Size, motion_shape: torch.Size) -> torch.Tensor:
        noise = self._draw(shape)
        self.end_step(window, motion_shape)
        return noise

    def end_step(self, window: int, motion_shape: torch.Size) -> None:
        if window > 0:
            self._draw(motion_shape)


class SequentialNoise(_OneGenerator):
    """Draws in the order of the distilled weights' publisher: one shape throughout."""

    def begin_window(self, window: int, shape: torch.Size, motion_shape: torch.Size) -> torch.Tensor:
        return self._draw(shape)

    def after_step(self, window: int, step: int, shape: torch.Size) -> torch.Tensor:
        return self._draw(shape)


def window_generator(seed: int, window: int) -> torch.Generator:
    """The generator of one window's initial latents, independent of all others."""
    return _generator(seed, window)


def _generator(*numbers: int) -> torch.Generator:
    """A generator seeded by several numbers, which NumPy's `SeedSequence` mixes."""
    mixed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]))
