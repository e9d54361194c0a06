"""The computed tables of docs/PERFORMANCE.md: `python -m benchmarks.performance_tables` writes them anew.

In the document a table stands between `<!-- computed: NAME -->` and `<!-- end -->`; everything else is prose.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

from gpu_worker.contract import gpu_memory
from gpu_worker.contract.costs import (
    TYPICAL_SIZE,
    estimated_gpu_seconds,
    floor_seconds,
    typical_size,
    window_seconds,
)
from gpu_worker.contract.operations import (
    LORA_RANK,
    Operations,
    VideoSize,
    forward_operations,
    strip_overlap,
    vae_decode_operations,
    vae_encode_operations,
    window_operations,
)
from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.setups import (
    GPUS,
    H100,
    L40S,
    Attention,
    Gpu,
    Kernels,
    Precision,
    Setup,
    VaePrecision,
)
from gpu_worker.contract.traffic import forward_traffic, vae_decode_traffic, vae_encode_traffic
from gpu_worker.contract.windows import STANDARD_WINDOWS
from InfiniteTalk.sizes import BUCKETS

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "PERFORMANCE.md"
SECONDS_OF_SPEECH = (3, 10, 30, 60)
SIZES_OF_MEMORY = (*TYPICAL_SIZE.values(), VideoSize(1920, 512))

_MARKED = re.compile(r"(<!-- computed: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(document: str) -> str:
    """The document with all its tables as they are now."""
    return _MARKED.sub(lambda match: f"{match[1]}{TABLES[match['name']]()}{match[3]}", document)


def buckets() -> str:
    rows = [
        [
            resolution,
            f"{size.height}×{size.width}",
            f"{size.tokens:,}",
            f"{forward.total / 1e15:.2f}",
            f"{forward.attention / forward.total:.0%}",
            f"{forward_traffic(size, lora=True) / 1e12:.2f}",
            f"{vae_encode_operations(size).total / 1e12:.0f}",
            f"{vae_decode_operations(size).total / 1e12:.0f}",
        ]
        for resolution, size, forward in _sizes()
    ]
    head = [
        "",
        "height×width",
        "tokens",
        "forward, PFLOP",
        "of it attention",
        "moved, TB (fp8, LoRA)",
        "VAE encode, TFLOP",
    ]
    return _table([*head, "VAE decode, TFLOP"], rows)


def windows() -> str:
    rows = []
    for resolution, preset in _presets():
        seconds = [
            f"{_window_seconds(resolution, preset, gpu, Setup(precision)):,.0f}"
            for gpu in GPUS
            for precision in (Precision.BF16, Precision.FP8_COMPUTE)
        ]
        forwards = PRESETS[preset].num_inference_steps * PRESETS[preset].passes
        operations = _window_operations(resolution, preset).total / 1e15
        rows.append([resolution, preset, str(forwards), f"{operations:,.1f}", *seconds])
    gpus = [f"{gpu.name}, {kind}" for gpu in GPUS for kind in ("bf16", "fp8")]
    return _table(["", "preset", "forwards", "PFLOP", *gpus], rows)


def combinations() -> str:
    """Seconds of a window of four steps with the LoRA, by what a forward runs and how often."""
    columns = list(product(TYPICAL_SIZE, (2, 1)))
    rows = []
    for kernels, attention, vae in product(Kernels, Attention, VaePrecision):
        setup = Setup(Precision.FP8_COMPUTE, kernels, attention, vae)
        seconds = [
            window_seconds(
                TYPICAL_SIZE[resolution],
                steps=4,
                passes=passes,
                motion_frames=STANDARD_WINDOWS.motion_frames,
                lora=True,
                setup=setup,
            )
            for resolution, passes in columns
        ]
        rows.append([kernels, attention, vae, *(f"{value:.0f}" for value in seconds)])
    heads = [f"{resolution}, {passes} pass{'es' * (passes > 1)}" for resolution, passes in columns]
    return _table(["kernels", "attention", "VAE", *heads], rows)


def jobs() -> str:
    rows = [
        [
            resolution,
            preset,
            *(_duration(_job_seconds(seconds, resolution, preset)) for seconds in SECONDS_OF_SPEECH),
        ]
        for resolution, preset in _presets()
    ]
    return _table(["", "preset", *(f"{seconds} s of speech" for seconds in SECONDS_OF_SPEECH)], rows)


def memory() -> str:
    precisions = (Precision.BF16, Precision.FP8, Precision.FP8_COMPUTE)
    rows = [
        ["transformer with audio layers", *(_gigabytes(gpu_memory.transformer_bytes(p)) for p in precisions)],
        ["LoRA", *[_gigabytes(gpu_memory.LORA_BYTES)] * 3],
        ["T5", *(_gigabytes(gpu_memory.text_encoder_bytes(p)) for p in precisions)],
        ["CLIP, VAE, speech encoder", *[_gigabytes(gpu_memory.other_model_bytes())] * 3],
    ]
    for size in SIZES_OF_MEMORY:
        name = f"{size.height}×{size.width}"
        three = gpu_memory.context_bytes(size, passes=3)
        activations = [_gigabytes(gpu_memory.activation_bytes(size, Setup(p))) for p in precisions]
        rows += [
            [f"{name}: keys and values of the contexts, 3 passes", *[_gigabytes(three)] * 3],
            [f"{name}: activations", *activations],
            [f"{name}: VAE", *[_gigabytes(gpu_memory.vae_bytes(size))] * 3],
            [f"{name}: most at once, all resident", *(_gigabytes(_most(size, p)) for p in precisions)],
            [
                f"{name}: most at once, T5 away while sampling",
                *(_gigabytes(_most(size, p) - gpu_memory.text_encoder_bytes(p)) for p in precisions),
            ],
        ]
    return _table(["GB", *precisions], rows)


def rates() -> str:
    rows = [
        [
            gpu.name,
            f"{gpu.bf16 / 1e12:g}",
            f"{gpu.fp8 / 1e12:g}",
            f"{gpu.tf32 / 1e12:g}",
            f"{gpu.bytes_per_second / 1e9:g}",
            f"{gpu.memory_bytes / 1e9:g}",
        ]
        for gpu in GPUS
    ]
    return _table(["", "bf16, TFLOP/s", "fp8, TFLOP/s", "tf32, TFLOP/s", "memory, GB/s", "memory, GB"], rows)


def realtime() -> str:
    """A window of the distilled presets by what it takes, and by how many GPUs share its sampling."""
    rows = [
        [
            preset,
            gpu.name,
            f"{PRESETS[preset].windows.longest_seconds:.2f}",
            f"{whole:.1f}",
            f"{vae:.1f}",
            f"{(whole - vae) / 8 + vae:.1f}",
        ]
        for preset in (PresetName.TURBO, PresetName.INSTANT)
        for gpu in (L40S, H100)
        for whole, vae in [_with_vae(preset, gpu)]
    ]
    head = ["preset", "GPU", "video, s", "on one GPU, s", "of it VAE, s", "on eight, s"]
    return _table(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    "buckets": buckets,
    "windows": windows,
    "combinations": combinations,
    "realtime": realtime,
    "jobs": jobs,
    "memory": memory,
    "rates": rates,
}


def _sizes() -> Iterator[tuple[str, VideoSize, Operations]]:
    for resolution, sizes in BUCKETS.items():
        for bucket in sizes.values():
            size = VideoSize(bucket.height, bucket.width)
            yield resolution, size, forward_operations(size)


def _with_vae(preset: PresetName, gpu: Gpu) -> tuple[float, float]:
    """Seconds of a window at 480p, and those of them that decode it and encode the start of the next."""
    setup, windows = Setup(Precision.FP8_COMPUTE), PRESETS[preset].windows
    size = typical_size(Resolution.P480, preset)
    motion = VideoSize(size.height, size.width, windows.motion_frames)
    decoding = Operations(convolution=vae_decode_operations(size).convolution * strip_overlap(size))
    operations = decoding + vae_encode_operations(motion)
    traffic = vae_decode_traffic(size, setup.vae) + vae_encode_traffic(motion, setup.vae)
    return _window_seconds(Resolution.P480, preset, gpu, setup), floor_seconds(
        operations, traffic, gpu, setup
    )


def _presets() -> Iterator[tuple[Resolution, PresetName]]:
    return (
        (resolution, name)
        for resolution in TYPICAL_SIZE
        for name, preset in PRESETS.items()
        if resolution in preset.resolutions
    )


def _window_operations(resolution: Resolution, preset: PresetName) -> Operations:
    chosen = PRESETS[preset]
    return window_operations(
        typical_size(resolution, preset),
        steps=chosen.num_inference_steps,
        passes=chosen.passes,
        motion_frames=chosen.windows.motion_frames,
        lora_rank=LORA_RANK if chosen.lora else 0,
    )


def _window_seconds(resolution: Resolution, preset: PresetName, gpu: Gpu, setup: Setup) -> float:
    chosen = PRESETS[preset]
    return window_seconds(
        typical_size(resolution, preset),
        steps=chosen.num_inference_steps,
        passes=chosen.passes,
        motion_frames=chosen.windows.motion_frames,
        lora=chosen.lora is not None,
        gpu=gpu,
        setup=setup,
    )


def _job_seconds(seconds_of_speech: int, resolution: Resolution, preset: PresetName) -> float:
    return estimated_gpu_seconds(
        num_frames=25 * seconds_of_speech, resolution=resolution, preset=preset, gpu=L40S
    )


def _most(size: VideoSize, precision: Precision) -> int:
    """Sampling and the VAE take turns; the models all stay."""
    models = gpu_memory.transformer_bytes(precision) + gpu_memory.LORA_BYTES
    models += gpu_memory.text_encoder_bytes(precision) + gpu_memory.other_model_bytes()
    return models + gpu_memory.working_bytes(size, setup=Setup(precision))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
