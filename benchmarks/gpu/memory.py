"""2. Forty blocks at 480p and 720p: the most memory, and a memory that is too small."""

import torch

from benchmarks.gpu import random_models
from benchmarks.gpu.setting import Setting
from InfiniteTalk.transformer import InfiniteTalkContextCache, InfiniteTalkTransformer3DModel

TITLE = "Memory of 40 blocks"


@torch.no_grad()
def run(setting: Setting) -> None:
    """Measure the peaks of one forward for each precision, size and number of speakers."""
    for precision in random_models.PRECISIONS:
        with setting.attempt("transformer", precision=precision):
            model = random_models.transformer(setting, setting.blocks(), precision)
            setting.measure_peak("building the transformer", precision=precision)
            switch = random_models.lora(setting, model)
            _measure_sizes(setting, model, precision)
            switch.use({})
            if precision == "fp8 activations":
                _run_out_of_memory(setting, model)
            del model, switch


def _measure_sizes(setting: Setting, model: InfiniteTalkTransformer3DModel, precision: str) -> None:
    for name, size in setting.sizes.items():
        for speakers in (1, 2):
            conditions = {
                "precision": precision,
                "size": f"{size.height}x{size.width}",
                "resolution": name,
                "speakers": speakers,
                "lora": True,
            }
            with setting.attempt("forward", **conditions):
                arguments = random_models.inputs(setting, size, speakers)
                setting.reset_peak()
                model(**arguments, context_cache=InfiniteTalkContextCache())
                setting.measure_peak("forward", **conditions)


def _run_out_of_memory(setting: Setting, model: InfiniteTalkTransformer3DModel) -> None:
    """A forward in too little memory fails as out of memory, and leaves none of it held."""
    if not setting.on_gpu:
        return
    arguments = random_models.inputs(setting, setting.sizes["720p"])
    setting.free()
    held = torch.cuda.memory_allocated(setting.device)
    _, total = torch.cuda.mem_get_info(setting.device)
    torch.cuda.set_per_process_memory_fraction(min(1.0, (held + 2**30) / total), setting.device)
    failed = 0
    try:
        model(**arguments)
    except torch.OutOfMemoryError:
        failed = 1
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, setting.device)
    setting.free()
    setting.measure("forwards out of memory with 1 GiB of room", failed, "forward")
    left = torch.cuda.memory_allocated(setting.device) - held
    setting.measure("memory held after it ran out", left, "byte")
    model(**arguments)
    setting.measure("forwards after that", 1, "forward")
