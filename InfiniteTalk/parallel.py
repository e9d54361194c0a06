"""One render by several processes, each with a GPU of its own (Ulysses sequence parallelism).

Every process (rank) holds all models and does the same render; only the transformer's forwards are shared. A
rank computes a part of the tokens, and in self-attention a part of the heads. All ranks end each forward with
the same velocity, so that all of them sample the same latents.
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig

from InfiniteTalk.sizes import Size
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

COLLECTIVE_TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others; loading the models at different speeds is part of it."""
FRAMES_PER_LATENT = 4
PIXELS_PER_TOKEN = 16


class ParallelismError(ValueError):
    """A render can't be shared by this many processes."""


@dataclass(frozen=True)
class Ranks:
    """The processes that share a render, as one of them sees it.

    Attributes:
        rank: This process; 0 is the one that writes and reports.
        size: How many there are.
        local_rank: Index of this process's GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Ranks":
        """The ranks that torchrun started, or a single one."""
        return cls(
            int(environment.get("RANK", "0")),
            int(environment.get("WORLD_SIZE", "1")),
            int(environment.get("LOCAL_RANK", "0")),
        )

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank) if self.size > 1 else torch.device("cuda")

    @contextmanager
    def connected(self, init_method: str = "env://") -> Iterator[None]:
        """Connects the ranks: NCCL between GPUs, gloo between CPUs. A single rank connects to nothing.

        Args:
            init_method: Where they meet, as `torch.distributed.init_process_group` takes it.
        """
        if self.size == 1:
            yield
            return
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.set_device(self.device)
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method=init_method,
            rank=self.rank,
            world_size=self.size,
            timeout=COLLECTIVE_TIMEOUT,
        )
        try:
            yield
        finally:
            dist.destroy_process_group()

    def split(self, transformer: InfiniteTalkTransformer3DModel) -> None:
        """Shares the forwards of a transformer among the ranks, once they are connected.

        Raises:
            ParallelismError: The heads can't be shared equally.
        """
        if self.size == 1:
            return
        heads = transformer.config.num_attention_heads
        if heads % self.size:
            raise ParallelismError(
                f"{heads} attention heads can't be shared equally by {self.size} processes"
            )
        with _one_device_per_process():
            transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=self.size))

    def check_size(self, size: Size, num_frames: int) -> None:
        """Checks that the tokens of a window can be shared.

        Args:
            size: Of the video.
            num_frames: Frames of a window.

        Raises:
            ParallelismError: They can't be shared equally.
        """
        latent_frames = (num_frames - 1) // FRAMES_PER_LATENT + 1
        tokens = latent_frames * (size.height // PIXELS_PER_TOKEN) * (size.width // PIXELS_PER_TOKEN)
        if tokens % self.size:
            raise ParallelismError(
                f"the {tokens} tokens of a window of {size.height}x{size.width} can't be shared equally by "
                f"{self.size} processes"
            )

    def require(self, ulysses_size: int) -> None:
        """Checks that as many processes run as were asked for.

        Raises:
            ParallelismError: They are more or fewer.
        """
        if ulysses_size != self.size:
            raise ParallelismError(
                f"--ulysses_size {ulysses_size} with a number of processes of {self.size}; "
                f"start it with torchrun --nproc_per_node={max(ulysses_size, 1)}"
            )

    def agree(self, number: int) -> int:
        """The first rank's number, in all ranks."""
        if self.size == 1:
            return number
        numbers: list[int] = [number]
        dist.broadcast_object_list(numbers, src=0, device=self.device)
        return numbers[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command line's arguments for several GPUs, by their names in the published code."""
    group = parser.add_argument_group("several GPUs")
    group.add_argument(
        "--ulysses_size", type=int, default=1, help="processes of torchrun that share a render"
    )
    group.add_argument("--ring_size", type=_one_ring, default=1, help="1; --ulysses_size shares the render")


def _one_ring(text: str) -> int:
    if text != "1":
        raise argparse.ArgumentTypeError(
            "ring attention needs a kernel that also returns its log-sum-exp, which torch's own does not; "
            "give all processes to --ulysses_size"
        )
    return 1


@contextmanager
def _one_device_per_process() -> Iterator[None]:
    """Lets diffusers, which divides by the number of accelerators, run where there is none."""
    count = torch.accelerator.device_count
    if count() == 0:
        torch.accelerator.device_count = lambda: 1
    try:
        yield
    finally:
        torch.accelerator.device_count = count
