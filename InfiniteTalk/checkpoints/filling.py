"""Gives a model its weights: made without memory, then handed each tensor in its final place and number type.

Nothing is held twice. Where a GPU computes, prepared files are read in parallel; where a CPU does, their
tensors stay mapped, so that loading takes no time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import PreTrainedModel

from InfiniteTalk.checkpoints.completeness import parameter_shapes, require_complete
from InfiniteTalk.checkpoints.options import LoadOptions
from InfiniteTalk.checkpoints.parallel_reading import read_tensors
from InfiniteTalk.checkpoints.precision import (
    SCALE_SUFFIX,
    float8_weight,
    is_block_matrix,
    is_kept_in_float32,
    quantize_rows,
)
from InfiniteTalk.checkpoints.weight_files import open_weights

NamedTensors = Iterable[tuple[str, torch.Tensor]]


def read_prepared(path: Path, options: LoadOptions) -> Iterator[tuple[str, torch.Tensor]]:
    if torch.cuda.is_available():
        yield from read_tensors(path, pin_memory=torch.device(options.device).type == "cuda")
        return
    with open_weights(path) as file:
        for key in file.names():
            yield key, file.tensor(key)


def block_weights(
    tensors: NamedTensors, options: LoadOptions, float32_modules: Sequence[str] = ()
) -> NamedTensors:
    """The weights of the transformer or T5 as they are computed with; later tensors of a name win."""
    parts: dict[str, torch.Tensor] = {}
    for key, tensor in tensors:
        whole = tensor.dtype.itemsize > 1 and not key.endswith(SCALE_SUFFIX)
        if whole and options.quantize and is_block_matrix(key, tuple(tensor.shape)):
            weight, scale = quantize_rows(tensor.to(options.device))
            parts |= {key: weight, key + SCALE_SUFFIX: scale}
        elif whole:
            kept = is_kept_in_float32(key, float32_modules)
            parts[key] = tensor.to(options.device, torch.float32 if kept else options.torch_dtype)
            parts.pop(key + SCALE_SUFFIX, None)
        else:
            parts[key] = tensor.to(options.device)
    for key, tensor in parts.items():
        if key + SCALE_SUFFIX in parts:
            yield key, _float8(tensor, parts[key + SCALE_SUFFIX], options)
        elif not key.endswith(SCALE_SUFFIX):
            yield key, tensor


def _float8(weight: torch.Tensor, scale: torch.Tensor, options: LoadOptions) -> torch.Tensor:
    return float8_weight(weight, scale, options.torch_dtype, float8_activations=options.float8_activations)


def fill_model(
    build: Callable[[], Any], tensors: NamedTensors, device: torch.device | str, title: str
) -> Any:
    """Builds a model without memory, gives it its weights and brings its buffers to where they are."""
    with init_empty_weights(include_buffers=False):
        model = build()
    _tie(model)
    weights = dict(tensors)
    require_complete(title, shapes_of(weights), parameter_shapes(model))
    # The weights are all there, as was just checked; what is not named is tied to one that is.
    model.requires_grad_(False).load_state_dict(weights, strict=False, assign=True)
    _tie(model)
    _place_buffers(model, device)
    return model.eval()


def shapes_of(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def _place_buffers(model: torch.nn.Module, device: torch.device | str) -> None:
    """Moves what no file holds: tables that a model computes when it is built, on the CPU."""
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))


def _tie(model: torch.nn.Module) -> None:
    """Makes weights that are one and the same (T5's two names of its embedding) one tensor."""
    if isinstance(model, PreTrainedModel):
        model.tie_weights()
