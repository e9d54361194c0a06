"""Running models on a GPU that they do not fit into."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from transformers import UMT5EncoderModel

from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel


def keep_resident(
    transformer: InfiniteTalkTransformer3DModel,
    num_parameters: int,
    device: torch.device,
    *,
    use_stream: bool = False,
) -> int:
    """Keeps only the first blocks on the device and brings each later one there while it computes.

    Args:
        transformer: On the CPU.
        num_parameters: How many parameters of blocks stay on the device. All others outside blocks do.
        device: Where to compute.
        use_stream: Fetch a block from pinned memory while the one before computes, as GPUs can.

    Returns:
        How many blocks stay.
    """
    resident, budget = 0, num_parameters
    for block in transformer.blocks:
        budget -= sum(parameter.numel() for parameter in block.parameters())
        if budget < 0:
            break
        resident += 1
    for name, module in transformer.named_children():
        if name != "blocks":
            module.to(device)
    for block in transformer.blocks[:resident]:
        block.to(device)
    table = transformer.scale_shift_table.to(device)
    transformer.scale_shift_table = nn.Parameter(table, requires_grad=False)
    _fetch_in_order(list(transformer.blocks[resident:]), device, use_stream)
    return resident


def offload_text_encoder(
    text_encoder: UMT5EncoderModel, device: torch.device, *, use_stream: bool = False
) -> None:
    """Brings T5's embedding and each block to the device while it computes; see `keep_resident`."""
    encoder = text_encoder.encoder
    _fetch_in_order([encoder.embed_tokens, *encoder.block, encoder.final_layer_norm], device, use_stream)


def _fetch_in_order(modules: Sequence[nn.Module], device: torch.device, use_stream: bool) -> None:
    stream = torch.Stream(device) if use_stream else None
    fetched = [_FetchedModule(module, device, stream) for module in modules]
    for module, following in pairwise(fetched):
        module.following = following


class _FetchedModule:
    """A part of a model whose weights are on the device only from shortly before it computes until it has.

    diffusers' group offloading learns the order of layers from the first forward. Later ones skip the layers
    whose keys and values are kept, which leaves the layer after them without its weights. Here the unit is a
    block, because all of them compute in every forward, and a parameter is replaced instead of filled.
    """

    following: "_FetchedModule | None" = None
    """What computes next."""

    def __init__(self, module: nn.Module, device: torch.device, stream: torch.Stream | None) -> None:
        self.module, self.device, self.stream = module, device, stream
        self._host: list[tuple[nn.Module, str, torch.Tensor]] = []
        if stream is not None:
            for owner, name, parameter in _parameters(module):
                _replace(owner, name, parameter.pin_memory())
        module.register_forward_pre_hook(self._before)
        module.register_forward_hook(self._after)

    @torch.compiler.disable
    def fetch(self) -> None:
        """Begin to copy the weights to the device, unless they are there or on their way."""
        if self._host:
            return
        self._host = list(_parameters(self.module))
        if self.stream is None:
            self._copy()
        else:
            with self.stream:
                self._copy()

    def _copy(self) -> None:
        for owner, name, parameter in self._host:
            _replace(owner, name, parameter.to(self.device, non_blocking=self.stream is not None))

    @torch.compiler.disable
    def _before(self, *_: Any) -> None:
        self.fetch()
        if self.stream is not None:
            torch.accelerator.current_stream(self.device).wait_stream(self.stream)
            if self.following is not None:
                self.following.fetch()

    @torch.compiler.disable
    def _after(self, *_: Any) -> None:
        if self.stream is not None:
            # The copying stream owns the memory and must not fill it again before the block is done.
            self.stream.wait_stream(torch.accelerator.current_stream(self.device))
        for owner, name, parameter in self._host:
            _replace(owner, name, parameter)
        self._host = []


def _parameters(module: nn.Module) -> Iterator[tuple[nn.Module, str, torch.Tensor]]:
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            yield owner, name, parameter


def _replace(owner: nn.Module, name: str, tensor: torch.Tensor) -> None:
    is_parameter = isinstance(tensor, nn.Parameter)
    setattr(owner, name, tensor if is_parameter else nn.Parameter(tensor, requires_grad=False))
