"""The computed tables of docs/PERFORMANCE.md: `python -m benchmarks.performance_tables` writes them anew.

In the document a table stands between `<!-- computed: NAME -->` and `<!-- end -->`; everything else is prose.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gpu_worker.contract import costs
from gpu_worker.contract.costs import GPUS, L40S, LORA_RANK, TYPICAL_SIZE, Precision, VideoSize
from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from InfiniteTalk.sizes import BUCKETS

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "PERFORMANCE.md"
SECONDS_OF_SPEECH = (3, 10, 30, 60)

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
            f"{costs.forward_bytes(size, Precision.BF16) / 1e12:.2f}",
            f"{costs.vae_encode_operations(size).total / 1e12:.0f}",
            f"{costs.vae_decode_operations(size).total / 1e12:.0f}",
        ]
        for resolution, size, forward in _sizes()
    ]
    head = [
        "",
        "height×width",
        "tokens",
        "forward, PFLOP",
        "of it attention",
        "moved, TB (bf16)",
        "VAE encode, TFLOP",
    ]
    return _table([*head, "VAE decode, TFLOP"], rows)


def windows() -> str:
    rows = []
    for resolution, preset in _presets():
        operations = _window(resolution, preset)
        seconds = [
            f"{costs.floor_seconds(operations, gpu, precision):,.0f}"
            for gpu in GPUS
            for precision in (Precision.BF16, Precision.FP8_COMPUTE)
        ]
        forwards = PRESETS[preset].num_inference_steps * PRESETS[preset].passes
        rows.append([resolution, preset, str(forwards), f"{operations.total / 1e15:,.1f}", *seconds])
    gpus = [f"{gpu.name}, {kind}" for gpu in GPUS for kind in ("bf16", "fp8")]
    return _table(["", "preset", "forwards", "PFLOP", *gpus], rows)


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
    precisions = (Precision.BF16, Precision.FP8)
    rows = [
        ["transformer with audio layers", *(_gigabytes(costs.transformer_bytes(p)) for p in precisions)],
        ["T5", *(_gigabytes(costs.text_encoder_bytes(p)) for p in precisions)],
        ["CLIP, VAE, speech encoder", *[_gigabytes(costs.other_model_bytes())] * 2],
    ]
    for resolution, size in TYPICAL_SIZE.items():
        three = costs.context_bytes(size, passes=3)
        rows += [
            [f"{resolution}: keys and values of the contexts, 3 passes", *[_gigabytes(three)] * 2],
            [f"{resolution}: activations of a block", *[_gigabytes(costs.activation_bytes(size))] * 2],
            [f"{resolution}: VAE decoding", *[_gigabytes(costs.vae_bytes(size))] * 2],
            [f"{resolution}: most at once, all resident", *(_gigabytes(_most(size, p)) for p in precisions)],
            [
                f"{resolution}: most at once, T5 away while sampling",
                *(_gigabytes(_most(size, p) - costs.text_encoder_bytes(p)) for p in precisions),
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


TABLES: dict[str, Callable[[], str]] = {
    "buckets": buckets,
    "windows": windows,
    "jobs": jobs,
    "memory": memory,
    "rates": rates,
}


def _sizes() -> Iterator[tuple[str, VideoSize, costs.Operations]]:
    for resolution, sizes in BUCKETS.items():
        for bucket in sizes.values():
            size = VideoSize(bucket.height, bucket.width)
            yield resolution, size, costs.forward_operations(size)


def _presets() -> Iterator[tuple[Resolution, PresetName]]:
    return ((resolution, preset) for resolution in TYPICAL_SIZE for preset in PRESETS)


def _window(resolution: Resolution, preset: PresetName) -> costs.Operations:
    chosen = PRESETS[preset]
    return costs.window_operations(
        TYPICAL_SIZE[resolution],
        steps=chosen.num_inference_steps,
        passes=chosen.passes,
        lora_rank=LORA_RANK if chosen.lora else 0,
    )


def _job_seconds(seconds_of_speech: int, resolution: Resolution, preset: PresetName) -> float:
    return costs.estimated_gpu_seconds(
        num_frames=25 * seconds_of_speech, resolution=resolution, preset=preset, gpu=L40S
    )


def _most(size: VideoSize, precision: Precision) -> int:
    """Sampling and decoding do not happen at once; the models all stay."""
    models = (
        costs.transformer_bytes(precision) + costs.text_encoder_bytes(precision) + costs.other_model_bytes()
    )
    sampling = costs.context_bytes(size, passes=3) + costs.activation_bytes(size)
    return models + max(sampling, costs.vae_bytes(size))


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
