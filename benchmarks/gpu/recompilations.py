"""4. How often blocks are compiled over sizes, speakers and LoRA on and off."""

import time
from itertools import product

import torch
from torch._dynamo.utils import counters

from benchmarks.gpu import random_models
from benchmarks.gpu.results import Value
from benchmarks.gpu.setting import Setting
from InfiniteTalk.transformer import InfiniteTalkContextCache

TITLE = "Compilations over sizes, speakers and LoRA"
BLOCKS = 2


@torch.no_grad()
def run(setting: Setting) -> None:
    """Do two forwards in every combination, and count the graphs after each."""
    torch._dynamo.reset()
    counters.clear()
    model = random_models.transformer(
        setting, setting.blocks(BLOCKS, short=1), "fp8 activations" if setting.on_gpu else "bf16"
    )
    switch = random_models.lora(setting, model)
    model.compile_repeated_blocks(backend="inductor" if setting.on_gpu else "eager")
    sizes = list(setting.sizes.items())[: None if setting.on_gpu else 1]
    for lora, speakers, (name, size) in product((True, False), (1, 2) if setting.on_gpu else (1,), sizes):
        conditions: dict[str, Value] = {"lora": lora, "speakers": speakers, "resolution": name}
        with setting.attempt("graphs", **conditions):
            switch.use({"random": 1.0} if lora else {})
            arguments, cache = random_models.inputs(setting, size, speakers), InfiniteTalkContextCache()
            began = time.perf_counter()
            for _ in range(2):
                model(**arguments, context_cache=cache)
            setting.synchronize()
            setting.measure("two forwards, with compilation", time.perf_counter() - began, "s", **conditions)
            setting.measure("graphs so far", counters["stats"]["unique_graphs"], "graph", **conditions)
    breaks = sum(counters["graph_break"].values())
    setting.measure("graph breaks", breaks, "break")
    limit = sum(count for name, count in counters["unimplemented"].items() if "recompile_limit" in name)
    setting.measure("times that the limit was reached", limit, "time")
