"""What all parts share: the device, the sizes, and a place for what they measure."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.gpu.results import Failure, Measurement, Value
from InfiniteTalk.sizes import Size

FULL_SIZES = {"480p": Size(640, 640), "720p": Size(960, 960), "720p wide": Size(1920, 512)}
SHORT_SIZES = {"480p": Size(32, 48), "720p": Size(48, 64)}
SHORT_TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "text_dim": 32,
    "freq_dim": 32,
    "ffn_dim": 128,
    "image_dim": 48,
    "added_kv_proj_dim": 64,
    "audio_hidden_dim": 32,
    "audio_token_dim": 32,
    "audio_tokens": 4,
    "audio_blocks": 2,
    "audio_channels": 16,
}


@dataclass
class Setting:
    """Where a part runs, and how large.

    Attributes:
        device: A GPU, or the CPU for the short form.
        report: Takes each figure as soon as it is known.
        fail: Takes what could not be measured.
    """

    device: torch.device
    report: Callable[[Measurement], None]
    fail: Callable[[Failure], None]
    sizes: dict[str, Size] = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = FULL_SIZES if self.on_gpu else SHORT_SIZES

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.on_gpu else torch.float32

    @property
    def num_frames(self) -> int:
        return 81 if self.on_gpu else 9

    def blocks(self, full: int = 40, short: int = 2) -> int:
        """How many blocks to build: `full` on a GPU, `short` in the short form."""
        return full if self.on_gpu else short

    def transformer_config(self, num_layers: int) -> dict[str, Any]:
        return {"num_layers": num_layers} | ({} if self.on_gpu else SHORT_TRANSFORMER)

    def measure(self, name: str, value: float, unit: str, **conditions: Value) -> None:
        self.report(Measurement(name, float(value), unit, conditions))

    @contextmanager
    def attempt(self, name: str, **conditions: Value) -> Iterator[None]:
        """Records an error, memory that runs out included, and lets the part go on with its next figure.

        A proof is of use for what it measured before and after that. On a CPU an error is one of this
        program, and is raised.
        """
        try:
            yield
        except Exception as error:
            if not self.on_gpu:
                raise
            line = (str(error).splitlines() or [""])[0][:200]
            self.fail(Failure(name, f"{type(error).__name__}: {line}", conditions))
        self.free()

    def free(self) -> None:
        """Gives back what nobody holds any more."""
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, run: Callable[[], object], repeats: int = 3) -> float:
        """The median of several runs, after one that warms up."""
        run()
        return statistics.median(self._once(run) for _ in range(repeats if self.on_gpu else 1))

    def _once(self, run: Callable[[], object]) -> float:
        self.synchronize()
        began = time.perf_counter()
        run()
        self.synchronize()
        return time.perf_counter() - began

    def reset_peak(self) -> None:
        self.free()
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)

    def measure_peak(self, name: str, **conditions: Value) -> None:
        """Reports the most memory since `reset_peak`; on a CPU nothing is counted."""
        allocated = torch.cuda.max_memory_allocated(self.device) if self.on_gpu else 0
        reserved = torch.cuda.max_memory_reserved(self.device) if self.on_gpu else 0
        self.measure(f"{name}, peak allocated", allocated, "byte", **conditions)
        self.measure(f"{name}, peak reserved", reserved, "byte", **conditions)
