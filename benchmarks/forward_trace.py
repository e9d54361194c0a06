"""What one forward of the published transformer holds and moves: `python -m benchmarks.forward_trace`.

Nothing is computed: the shapes run on torch's `meta` device, so a laptop says what a GPU would hold. Counted
is a forward whose contexts are projected already, uncompiled. One block and two are traced; their difference,
39 times, stands for the blocks that follow.
"""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch

from benchmarks.row import Row
from benchmarks.tracing.published import ForwardCase, Kind, forward, switch_lora_on, transformer
from benchmarks.tracing.tracker import Trace, Tracker
from gpu_worker.contract.operations import PUBLISHED, VideoSize
from InfiniteTalk.transformer import InfiniteTalkContextCache

READINGS = 1  # counted, so every reading is the same
SIZES = (VideoSize(640, 640), VideoSize(960, 960), VideoSize(1920, 512))


@dataclass(frozen=True)
class ForwardTrace:
    """One forward through all 40 blocks.

    Attributes:
        activation_bytes: The most held at once beside weights and the contexts' keys and values.
        moved_bytes: Reads and writes of everything but products, attention and convolutions.
        product_bytes: Reads and writes of those.
        kernels: Launched.
    """

    activation_bytes: int
    moved_bytes: int
    product_bytes: int
    kernels: int


def trace_forward(case: ForwardCase) -> ForwardTrace:
    """Trace a forward of the published size."""
    one, two = (trace_blocks(case, blocks) for blocks in (1, 2))
    more = PUBLISHED.num_layers - 1
    return ForwardTrace(
        activation_bytes=max(one.peak_bytes, two.peak_bytes),
        moved_bytes=one.moved_bytes + more * (two.moved_bytes - one.moved_bytes),
        product_bytes=one.product_bytes + more * (two.product_bytes - one.product_bytes),
        kernels=one.kernels + more * (two.kernels - one.kernels),
    )


@torch.no_grad()
def trace_blocks(case: ForwardCase, num_layers: int) -> Trace:
    """Trace a forward of so many blocks; the peak is beside weights and kept keys and values."""
    model = transformer(case.kind, num_layers)
    if case.lora:
        switch_lora_on(model)
    cache, tracker = InfiniteTalkContextCache(), Tracker()
    with tracker:
        forward(model, case.size, case.speakers, cache)
        gc.collect()
        kept = tracker.restart()
        forward(model, case.size, case.speakers, cache)
    tracker.trace.peak_bytes -= kept
    return tracker.trace


def rows() -> Iterator[Row]:
    """Figures of every size, number type and number of speakers, with and without a LoRA."""
    for size, kind, speakers, lora in product(SIZES, Kind, (1, 2), (False, True)):
        yield from case_rows(ForwardCase(size, kind, speakers, lora))


def case_rows(case: ForwardCase) -> Iterator[Row]:
    """Figures of one kind of forward."""
    size = f"{case.size.height}×{case.size.width}"
    label = f"{size}, {case.kind}, {case.speakers} speaker{'s' * (case.speakers > 1)}{', LoRA' * case.lora}"
    trace = trace_forward(case)
    yield Row(f"{label}: activations", trace.activation_bytes / 1e9, "GB")
    yield Row(f"{label}: element-wise traffic", trace.moved_bytes / 1e12, "TB")
    yield Row(f"{label}: traffic of products", trace.product_bytes / 1e12, "TB")
    yield Row(f"{label}: kernels", trace.kernels, "")


if __name__ == "__main__":
    for row in rows():
        print(f"{row.name:66} {row.value:10.3f} {row.unit}", flush=True)
