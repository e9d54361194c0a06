"""Bytes that a render moves between a GPU's memory and its processors, outside of the base model's products.

Products, convolutions and attention are counted by their operations; what runs between them is limited by the
memory. The figures for a token or a pixel are traced at the published size on torch's `meta` device.
"""

from dataclasses import dataclass

from gpu_worker.contract.operations import VideoSize, strip_overlap
from gpu_worker.contract.setups import STANDARD, Kernels, Precision, Setup, VaePrecision


@dataclass(frozen=True)
class Traced:
    """What a forward of the published size holds and moves; `python -m benchmarks.forward_trace` traces it.

    Attributes:
        activation_bytes: The most held at once, for each token.
        moved_bytes: Reads and writes of all but products and attention, for each token.
        lora_bytes: What a LoRA of rank 64 in all layers adds, for each token: its narrow products, which are
            limited by the memory as well, and what is done to their results.
        expanded_bytes: Reads and writes of weights that are expanded for every product, whatever the tokens.
    """

    activation_bytes: int
    moved_bytes: int
    lora_bytes: int
    expanded_bytes: int = 0


TRACED = {
    (Precision.BF16, Kernels.EAGER): Traced(113_430, 38_800_000, 31_430_000),
    (Precision.FP8, Kernels.EAGER): Traced(113_430, 48_400_000, 31_430_000, 267_000_000_000),
    (Precision.FP8_COMPUTE, Kernels.EAGER): Traced(249_120, 117_880_000, 31_430_000),
    (Precision.BF16, Kernels.FUSED): Traced(93_100, 28_600_000, 11_200_000),
    (Precision.FP8, Kernels.FUSED): Traced(93_100, 40_700_000, 11_200_000, 181_000_000_000),
    (Precision.FP8_COMPUTE, Kernels.FUSED): Traced(93_100, 40_500_000, 11_200_000),
    # Inductor's count of the bytes of a block at 640×640 on a CPU, with what the uncompiled block holds.
    (Precision.FP8_COMPUTE, Kernels.COMPILED): Traced(93_100, 21_300_000, 11_200_000),
}

SECOND_SPEAKER_BYTES = 4_265_000
"""What telling two speakers apart moves, for each token."""

# For each pixel of each frame, traced in the same way by `python -m benchmarks.vae_trace`.
VAE_DECODE_MOVED_BYTES = {VaePrecision.FLOAT32: 64_500, VaePrecision.BF16: 44_600}
VAE_ENCODE_MOVED_BYTES = {VaePrecision.FLOAT32: 36_500, VaePrecision.BF16: 23_200}


def forward_traffic(
    size: VideoSize, *, speakers: int = 1, lora: bool = False, setup: Setup = STANDARD
) -> float:
    """Bytes that one forward reads and writes outside of the base model's products and attention."""
    traced = TRACED[setup.precision, setup.kernels]
    per_token = traced.moved_bytes + lora * traced.lora_bytes + (speakers - 1) * SECOND_SPEAKER_BYTES
    return size.tokens * per_token + traced.expanded_bytes


def vae_decode_traffic(size: VideoSize, precision: VaePrecision = VaePrecision.FLOAT32) -> float:
    """Bytes that decoding a window reads and writes outside of convolutions."""
    overlap = strip_overlap(size)
    return VAE_DECODE_MOVED_BYTES[precision] * size.height * size.width * size.num_frames * overlap


def vae_encode_traffic(size: VideoSize, precision: VaePrecision = VaePrecision.FLOAT32) -> float:
    """Bytes that encoding a window's video reads and writes outside of convolutions."""
    return VAE_ENCODE_MOVED_BYTES[precision] * size.height * size.width * size.num_frames


def window_traffic(
    size: VideoSize,
    *,
    steps: int,
    passes: int,
    motion_frames: int,
    speakers: int = 1,
    lora: bool = False,
    setup: Setup = STANDARD,
) -> float:
    """Bytes that the same window reads and writes outside of products, convolutions and attention."""
    silent = 1 if passes > 1 else 0
    heard = forward_traffic(size, speakers=speakers, lora=lora, setup=setup) * (passes - silent)
    unheard = forward_traffic(size, lora=lora, setup=setup) * silent
    motion = VideoSize(size.height, size.width, motion_frames)
    vae = vae_decode_traffic(size, setup.vae) + vae_encode_traffic(motion, setup.vae)
    return (heard + unheard) * steps + vae
