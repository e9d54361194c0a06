"""LoRAs added to the weights while these are read, before they are rounded to 8 bits.

That costs nothing per call, but there is no way back and no other scale. It can't be done afterwards: of a
weight that is rounded already, a change smaller than half a step of its number type is lost.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from InfiniteTalk.checkpoints.filling import NamedTensors
from InfiniteTalk.checkpoints.lora import fitting_layers
from InfiniteTalk.checkpoints.lora_files import LoraError, LoraLayer, read_lora


def with_loras(
    tensors: NamedTensors,
    loras: Mapping[Path, float],
    build: Callable[[], nn.Module],
    device: torch.device | str,
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a transformer, with LoRAs added.

    Args:
        tensors: By the transformer's names.
        loras: The files, each with its scale.
        build: Makes a transformer whose layers have the right shapes; its values don't count.
        device: Where to add.

    Raises:
        LoraError: A LoRA can't be used, or changes a weight that is stored in 8 bits.
        WeightFileError: A file cannot be used.
    """
    with init_empty_weights():
        transformer = build()
    names = {module: name for name, module in transformer.named_modules()}
    changes: dict[str, list[tuple[LoraLayer, float]]] = {}
    for path, scale in loras.items():
        for module, layer in fitting_layers(transformer, read_lora(path)):
            for parameter in layer.parameters:
                key = f"{names[module]}.{parameter}".lstrip(".")
                changes.setdefault(key, []).append((layer, scale))
    for key, tensor in tensors:
        yield key, _sum(key, tensor.to(device), changes[key]) if key in changes else tensor


def _sum(key: str, tensor: Tensor, changes: list[tuple[LoraLayer, float]]) -> Tensor:
    if tensor.dtype.itemsize == 1:
        raise LoraError(
            f"{key} is stored in 8 bits, whose rounding takes away most of a LoRA's change; "
            "use the LoRA beside the weights, or read weights of 16 bits"
        )
    total = tensor.float()
    for layer, scale in changes:
        difference = layer.difference(key.rpartition(".")[2])
        assert difference is not None  # it is one of `layer.parameters`
        total = total + scale * difference.to(total).reshape(total.shape)
    return total
