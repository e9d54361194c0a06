"""7. Blocks that come from the host while the ones before compute: bytes a second, and host memory."""

import resource
import time

import torch

from benchmarks.gpu import random_models
from benchmarks.gpu.setting import Setting
from InfiniteTalk.checkpoints.offloading import keep_resident
from InfiniteTalk.transformer import InfiniteTalkContextCache

TITLE = "Offloading with streams"
BLOCKS = 8


@torch.no_grad()
def run(setting: Setting) -> None:
    """Forward with all blocks on the host and with half of them, after one copy for comparison."""
    with setting.attempt("copy from pinned memory"):
        _measure_copy(setting)
    blocks = setting.blocks(BLOCKS)
    for share in (0.0, 0.5):
        conditions = {"blocks": blocks, "resident share": share}
        with setting.attempt("forward", **conditions):
            _measure_forward(setting, blocks, share, conditions)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    setting.measure("host memory, peak of the process", peak, "byte", blocks=blocks)


def _measure_copy(setting: Setting) -> None:
    if not setting.on_gpu:
        return
    source = torch.empty(2**30, dtype=torch.uint8, pin_memory=True)
    target = torch.empty_like(source, device=setting.device)
    seconds = setting.seconds(lambda: target.copy_(source, non_blocking=True))
    setting.measure("copy from pinned memory", source.nbytes / 1e9 / seconds, "GB/s")


def _measure_forward(setting: Setting, blocks: int, share: float, conditions: dict[str, int | float]) -> None:
    model = random_models.transformer(setting, blocks, "bf16", device=torch.device("cpu"))
    block_parameters = sum(parameter.numel() for parameter in model.blocks[0].parameters())
    block_bytes = sum(parameter.nbytes for parameter in model.blocks[0].parameters())
    began = time.perf_counter()
    resident = keep_resident(model, int(share * blocks * block_parameters), setting.device)
    setting.measure("preparing", time.perf_counter() - began, "s", **conditions)
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(setting.device)
    arguments, cache = random_models.inputs(setting, setting.sizes["480p"]), InfiniteTalkContextCache()
    setting.reset_peak()
    seconds = setting.seconds(lambda: model(**arguments, context_cache=cache), repeats=1)
    setting.measure("forward", seconds, "s", **conditions)
    fetched = (blocks - resident) * block_bytes / 1e9
    setting.measure("weights fetched in a forward", fetched / seconds, "GB/s", **conditions)
    setting.measure_peak("forward", **conditions)
