"""How a worker computes, and on what: number types, kernels, GPUs by their datasheets."""

from dataclasses import dataclass
from enum import StrEnum


class Precision(StrEnum):
    """How the large matrices are stored and multiplied."""

    BF16 = "bf16"
    FP8 = "fp8"
    """Stored in 8 bits, multiplied in bfloat16."""
    FP8_COMPUTE = "fp8, computed"
    """Stored and multiplied in 8 bits; attention stays in bfloat16."""

    @property
    def bytes_per_weight(self) -> int:
        return 2 if self is Precision.BF16 else 1


class Kernels(StrEnum):
    """What runs between the products."""

    EAGER = "eager"
    """An operator at a time."""
    FUSED = "eager, fused"
    """Layers with one input share its quantisation; the feed-forward takes chunks of tokens."""
    COMPILED = "compiled"
    """Inductor fuses what lies between the products. What it fuses on a CPU is an estimate for a GPU."""


class Attention(StrEnum):
    """What products of queries, keys and values are computed in."""

    BITS_16 = "16 bits"
    BITS_8 = "8 bits"


class VaePrecision(StrEnum):
    """The VAE's number type."""

    FLOAT32 = "float32"
    BF16 = "bf16"

    @property
    def bytes_per_value(self) -> int:
        return 4 if self is VaePrecision.FLOAT32 else 2


@dataclass(frozen=True)
class Setup:
    """How a worker computes; by default as it does where nothing is configured."""

    precision: Precision = Precision.FP8_COMPUTE
    kernels: Kernels = Kernels.FUSED
    attention: Attention = Attention.BITS_16
    vae: VaePrecision = VaePrecision.FLOAT32


STANDARD = Setup()


@dataclass(frozen=True)
class Gpu:
    """A GPU by its datasheet: dense rates (without sparsity) in operations a second, with float32 sums."""

    name: str
    bf16: float
    fp8: float
    tf32: float
    memory_bytes: int
    bytes_per_second: float


L40S = Gpu("L40S", 362e12, 733e12, 183e12, 48 * 10**9, 864e9)
RTX_4090 = Gpu("RTX 4090", 165.2e12, 330.3e12, 82.6e12, 24 * 10**9, 1008e9)
H100 = Gpu("H100 SXM", 989.4e12, 1978.9e12, 494.7e12, 80 * 10**9, 3350e9)
GPUS = (L40S, RTX_4090, H100)
