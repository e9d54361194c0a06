"""The blocks' computation as compiled code, and what happens when it would have to be compiled too often."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import FailOnRecompileLimitHit

logger = logging.getLogger(__name__)

# One or two speakers, each with and without a LoRA; sizes and passes have no graphs of their own.
MAX_GRAPHS = 4


class CompiledBlocks:
    """The computation of a block, compiled once for all blocks.

    Attributes:
        uncompiled_calls: How often a block ran uncompiled because there were `MAX_GRAPHS` graphs already.
    """

    def __init__(self, compute: Callable[..., Tensor], **options: Any) -> None:
        """Prepares compiling, which takes place at the first calls; options are those of `torch.compile`."""
        # Which sizes vary is marked where it is known; sizes that seem to vary would double the graphs.
        defaults = {"fullgraph": True, "dynamic": False, "recompile_limit": MAX_GRAPHS}
        self._compute = compute
        self._compiled = torch.compile(compute, **(defaults | options))
        self.uncompiled_calls = 0

    def __call__(self, *args: Any) -> Tensor:
        try:
            return self._compiled(*args)
        except FailOnRecompileLimitHit:
            if not self.uncompiled_calls:
                logger.exception("more than %d graphs would be needed, blocks run uncompiled", MAX_GRAPHS)
            self.uncompiled_calls += 1
            return self._compute(*args)
