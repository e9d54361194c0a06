"""The parts of a proof, by number."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.gpu import (
    attention_kernels,
    memory,
    numerics,
    offloading,
    profile,
    recompilations,
    tiny_engine,
    vae,
)
from benchmarks.gpu.setting import Setting


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        title: What it is about.
        run: Measures, and reports each figure as it comes.
    """

    title: str
    run: Callable[[Setting], None]


PARTS = {
    number: Part(module.TITLE, module.run)
    for number, module in enumerate(
        (
            tiny_engine,
            memory,
            profile,
            recompilations,
            vae,
            numerics,
            offloading,
            attention_kernels,
        ),
        start=1,
    )
}
