"""Prompt embeddings, kept by the prompt's hash: most jobs share a few prompts, and T5 is large."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable

import torch

CAPACITY = 256
"""An embedding of a usual prompt takes less than 1 MB."""


class PromptCache:
    """The embeddings of the prompts that were used last."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._embeds: OrderedDict[str, torch.Tensor] = OrderedDict()

    def get(self, prompt: str, encode: Callable[[str], torch.Tensor]) -> torch.Tensor:
        """The embedding of `prompt`, from `encode` if it isn't known."""
        key = hashlib.sha256(prompt.encode()).hexdigest()
        if key not in self._embeds:
            self._embeds[key] = encode(prompt)
        self._embeds.move_to_end(key)
        if len(self._embeds) > self._capacity:
            self._embeds.popitem(last=False)
        return self._embeds[key]
