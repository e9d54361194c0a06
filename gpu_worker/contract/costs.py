"""What a render costs in seconds of a GPU, computed from its operations and the bytes that it moves.

Nothing here is measured. Seconds are operations divided by a GPU's datasheet rate, of which a stated share is
taken to be reached, plus bytes divided by its bandwidth.
"""

from gpu_worker.contract.operations import (
    LORA_RANK,
    Operations,
    VideoSize,
    vae_encode_operations,
    window_operations,
)
from gpu_worker.contract.presets import PRESETS, PresetName, Resolution, Weights
from gpu_worker.contract.setups import L40S, STANDARD, Attention, Gpu, Precision, Setup, VaePrecision
from gpu_worker.contract.traffic import vae_encode_traffic, window_traffic

UTILISATION = 0.5
"""The share of its datasheet rate that a GPU is taken to reach; 0.4 to 0.7 is usual for such shapes."""

TYPICAL_SIZE = {Resolution.P480: VideoSize(640, 640), Resolution.P720: VideoSize(960, 960)}
"""Where the picture's shape is not known: all sizes of a resolution have within 11 % the same tokens."""


_TURBO_AREA = (448, 768)


def typical_size(resolution: Resolution, preset: PresetName) -> VideoSize:
    """A window of a preset, of a picture whose shape is not known."""
    chosen, standard = PRESETS[preset], TYPICAL_SIZE[resolution]
    height, width = _TURBO_AREA if chosen.weights is Weights.TURBO else (standard.height, standard.width)
    return VideoSize(height, width, chosen.windows.num_frames)


def floor_seconds(
    operations: Operations,
    traffic: float,
    gpu: Gpu,
    setup: Setup = STANDARD,
    utilisation: float = UTILISATION,
) -> float:
    """The least time that a GPU takes, if it reaches this share of its datasheet rates.

    Args:
        operations: Products, convolutions and attention.
        traffic: Bytes read and written by everything else, which runs between them.
        gpu: What computes.
        setup: How it computes.
        utilisation: Share of the rates that is reached; of the bandwidth, all of it.
    """
    block_rate = gpu.fp8 if setup.precision is Precision.FP8_COMPUTE else gpu.bf16
    attention_rate = gpu.fp8 if setup.attention is Attention.BITS_8 else gpu.bf16
    vae_rate = gpu.tf32 if setup.vae is VaePrecision.FLOAT32 else gpu.bf16
    arithmetic = (
        operations.block_linear / block_rate
        + operations.other_linear / gpu.bf16
        + operations.attention / attention_rate
        + operations.convolution / vae_rate
    )
    return arithmetic / utilisation + traffic / gpu.bytes_per_second


def window_seconds(
    size: VideoSize,
    *,
    steps: int,
    passes: int,
    motion_frames: int,
    speakers: int = 1,
    lora: bool = False,
    gpu: Gpu = L40S,
    setup: Setup = STANDARD,
) -> float:
    """Computed seconds of one window of a still picture."""
    operations = window_operations(
        size,
        steps=steps,
        passes=passes,
        motion_frames=motion_frames,
        speakers=speakers,
        lora_rank=LORA_RANK if lora else 0,
    )
    traffic = window_traffic(
        size,
        steps=steps,
        passes=passes,
        motion_frames=motion_frames,
        speakers=speakers,
        lora=lora,
        setup=setup,
    )
    return floor_seconds(operations, traffic, gpu, setup)


def estimated_gpu_seconds(
    *,
    num_frames: int,
    resolution: Resolution,
    preset: PresetName,
    speakers: int = 1,
    gpu: Gpu = L40S,
    setup: Setup = STANDARD,
) -> float:
    """Seconds that a job keeps a GPU busy, before anything was measured on it.

    Args:
        num_frames: Length of the video.
        resolution: Its size; the shape changes little.
        preset: How it is sampled.
        speakers: One or two.
        gpu: What renders it.
        setup: How it computes there.
    """
    chosen = PRESETS[preset]
    size = typical_size(resolution, preset)
    window = window_seconds(
        size,
        steps=chosen.num_inference_steps,
        passes=chosen.passes,
        motion_frames=chosen.windows.motion_frames,
        speakers=speakers,
        lora=chosen.lora is not None,
        gpu=gpu,
        setup=setup,
    )
    reference = floor_seconds(vae_encode_operations(size), vae_encode_traffic(size, setup.vae), gpu, setup)
    return window * len(chosen.windows.plan(num_frames)) + reference
