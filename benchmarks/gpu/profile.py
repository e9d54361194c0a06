"""3. Where one forward spends its time: by kind of kernel, in bf16 and fp8, eager and compiled."""

from collections import Counter
from itertools import product

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu import random_models
from benchmarks.gpu.results import Value
from benchmarks.gpu.setting import Setting
from InfiniteTalk.sizes import Size
from InfiniteTalk.transformer import InfiniteTalkContextCache, InfiniteTalkTransformer3DModel

TITLE = "One forward, by kind of kernel"
BLOCKS = 8
"""A fifth of the model: every block does the same, and forty would not be compiled in the time there is."""
KINDS = {
    "attention": ("flash", "fmha", "attention", "attn", "sdpa", "sage"),
    "matrix products": ("gemm", "nvjet", "cutlass", "xmma", "cublas", "scaled_mm", "addmm", "::mm"),
    "quantisation": ("float8", "fp8", "quant", "e4m3", "amax"),
}


@torch.no_grad()
def run(setting: Setting) -> None:
    """Profile and time a forward in every mode; what a LoRA adds is the difference of two."""
    size = setting.sizes["480p"]
    precisions = ("bf16", "fp8 activations") if setting.on_gpu else ("bf16",)
    modes = (False, True) if setting.on_gpu else (False,)  # the short form of part 4 compiles
    for precision, compiled, lora in product(precisions, modes, (True, False)):
        conditions: dict[str, Value] = {
            "precision": precision,
            "compiled": compiled,
            "lora": lora,
            "blocks": BLOCKS,
        }
        with setting.attempt("forward", **conditions):
            _measure(setting, size, conditions, precision, compiled=compiled, lora=lora)


def _measure(
    setting: Setting,
    size: Size,
    conditions: dict[str, Value],
    precision: str,
    *,
    compiled: bool,
    lora: bool,
) -> None:
    model = random_models.transformer(setting, setting.blocks(BLOCKS), precision)
    if lora:
        random_models.lora(setting, model)
    if compiled:
        torch._dynamo.reset()
        model.compile_repeated_blocks()
    arguments, cache = random_models.inputs(setting, size), InfiniteTalkContextCache()

    def forward() -> None:
        model(**arguments, context_cache=cache)

    forward()
    setting.measure("forward", setting.seconds(forward), "s", **conditions)
    for kind, (seconds, kernels) in _by_kind(setting, model, arguments, cache).items():
        setting.measure(f"{kind}, time", seconds, "s", **conditions)
        setting.measure(f"{kind}, kernels", kernels, "kernel", **conditions)


def _by_kind(
    setting: Setting,
    model: InfiniteTalkTransformer3DModel,
    arguments: dict[str, object],
    cache: InfiniteTalkContextCache,
) -> dict[str, tuple[float, int]]:
    """Seconds and number of kernels of each kind in one forward; on a CPU, of operators."""
    activity = ProfilerActivity.CUDA if setting.on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        model(**arguments, context_cache=cache)
        setting.synchronize()
    seconds: Counter[str] = Counter()
    kernels: Counter[str] = Counter()
    wanted = "CUDA" if setting.on_gpu else "CPU"
    for event in profiler.key_averages():
        if event.device_type.name == wanted:
            kind = kind_of(event.key)
            seconds[kind] += (
                event.self_device_time_total if setting.on_gpu else event.self_cpu_time_total
            ) / 1e6
            kernels[kind] += event.count
    return {kind: (seconds[kind], kernels[kind]) for kind in seconds}


def kind_of(kernel: str) -> str:
    """The kind that a kernel's name tells; `rest` where it tells none."""
    name = kernel.lower()
    return next((kind for kind, marks in KINDS.items() if any(mark in name for mark in marks)), "rest")
