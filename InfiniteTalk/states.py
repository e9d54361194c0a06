"""What a render leaves behind so that another process can go on from there, bit for bit."""

from dataclasses import dataclass, field
from typing import Self

import torch
from safetensors.torch import load, save

from InfiniteTalk.guidance import Averages


@dataclass(frozen=True)
class WindowState:
    """What a window starts from: 1 MB at 480p, 3 MB at 720p, whatever the video's length.

    Attributes:
        index: The window that starts from here.
        motion_latents: Float32 [1, 16, Tm, h, w] on the CPU, the encoded last frames of the window before;
            None for the first window, which starts from the reference picture.
        generator_state: Of the one generator of a render in `reference_compat`; else None.
    """

    index: int
    motion_latents: torch.Tensor | None = None
    generator_state: torch.Tensor | None = None

    def to_bytes(self) -> bytes:
        """Pack as safetensors."""
        return save(_present(self._tensors()))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Unpack what `to_bytes` packed."""
        return cls._from_tensors(load(data))

    def _tensors(self) -> dict[str, torch.Tensor | None]:
        return {
            "index": torch.tensor(self.index),
            "motion_latents": self.motion_latents,
            "window_generator_state": self.generator_state,
        }

    @classmethod
    def _from_tensors(cls, tensors: dict[str, torch.Tensor]) -> Self:
        return cls(
            int(tensors["index"]), tensors.get("motion_latents"), tensors.get("window_generator_state")
        )


@dataclass(frozen=True)
class StepState:
    """Where a window stands after some of its steps: 4 MB more than its start at 480p, twice that with APG.

    Attributes:
        window: What the window started from.
        step: How many steps are done.
        latents: Float32 [1, 16, T, h, w] on the CPU.
        averages: What APG carries on, on the CPU.
        generator_state: As in `WindowState`, after these steps.
    """

    window: WindowState
    step: int
    latents: torch.Tensor
    averages: Averages = field(default_factory=Averages)
    generator_state: torch.Tensor | None = None

    def to_bytes(self) -> bytes:
        """Pack as safetensors."""
        tensors = {
            **self.window._tensors(),
            "step": torch.tensor(self.step),
            "latents": self.latents,
            "text_average": self.averages.text,
            "audio_average": self.averages.audio,
            "generator_state": self.generator_state,
        }
        return save(_present(tensors))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Unpack what `to_bytes` packed."""
        tensors = load(data)
        return cls(
            window=WindowState._from_tensors(tensors),
            step=int(tensors["step"]),
            latents=tensors["latents"],
            averages=Averages(tensors.get("text_average"), tensors.get("audio_average")),
            generator_state=tensors.get("generator_state"),
        )


def _present(tensors: dict[str, torch.Tensor | None]) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
