"""Where the models are while they wait and while they work: as near to the GPU as its memory allows."""

from dataclasses import dataclass
from enum import StrEnum

from gpu_worker.contract.gpu_memory import working_bytes
from gpu_worker.contract.operations import VideoSize
from gpu_worker.contract.setups import Setup
from gpu_worker.contract.windows import WINDOW_FRAMES
from InfiniteTalk.sizes import Size

GIB = 2**30

ALLOCATOR_BYTES = GIB
"""What PyTorch's allocator and the workspaces of CUDA's libraries take beside what is counted."""


class Placement(StrEnum):
    """From the fastest to the most frugal."""

    RESIDENT = "resident"
    TEXT_ENCODER_ON_HOST = "text_encoder_on_host"
    PARTLY_OFFLOADED = "partly_offloaded"
    OFFLOADED = "offloaded"

    @property
    def offloads_transformer(self) -> bool:
        return self in (Placement.PARTLY_OFFLOADED, Placement.OFFLOADED)


@dataclass(frozen=True)
class ModelBytes:
    """Sizes of the weights as they are stored, in bytes.

    Attributes:
        transformer: Base and audio layers of one speaker mode, with the LoRAs.
        text_encoder: T5.
        others: CLIP, VAE and the speech encoder.
    """

    transformer: int
    text_encoder: int
    others: int

    @property
    def total(self) -> int:
        return self.transformer + self.text_encoder + self.others


def room_to_work(
    size: Size, num_frames: int = WINDOW_FRAMES, *, speakers: int, passes: int, setup: Setup
) -> int:
    """What rendering windows of this size takes beside the weights, in bytes."""
    video = VideoSize(size.height, size.width, num_frames)
    return working_bytes(video, speakers=speakers, passes=passes, setup=setup) + ALLOCATOR_BYTES


def choose_placement(free_bytes: int, models: ModelBytes, working_bytes: int) -> Placement:
    """The fastest placement that leaves room to work in `free_bytes` of GPU memory.

    The text encoder is needed for a second per new prompt, so it is the first to leave. Then the
    transformer's blocks come to the GPU one by one, each while the one before computes: with
    `PARTLY_OFFLOADED` those that don't fit, with `OFFLOADED` all of them.
    """
    sampling = models.transformer + models.others + working_bytes
    if sampling + models.text_encoder <= free_bytes:
        return Placement.RESIDENT
    if sampling <= free_bytes:
        return Placement.TEXT_ENCODER_ON_HOST
    if resident_parameters(free_bytes - models.others, 1, working_bytes) > 0:
        return Placement.PARTLY_OFFLOADED
    return Placement.OFFLOADED


def resident_parameters(free_bytes: int, bytes_per_parameter: int, working_bytes: int) -> int:
    """How many of the transformer's parameters can stay on the GPU, with all but its blocks there."""
    return max(0, free_bytes - working_bytes) // bytes_per_parameter


def more_frugal_of(one: Placement, other: Placement) -> Placement:
    """The one of the two that needs less of the GPU's memory."""
    return max(one, other, key=list(Placement).index)


def more_frugal(placement: Placement) -> Placement | None:
    """The next placement to try when memory ran out; None after the last."""
    later = list(Placement)[list(Placement).index(placement) + 1 :]
    return later[0] if later else None
