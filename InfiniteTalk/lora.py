"""LoRA: small changes of the transformer's weights, switched on and off between calls.

A change stays beside the weight it belongs to and is added to that layer's output, so one resident
transformer serves every preset, and 8-bit weights take a LoRA as well as others. What is changed may be a
matrix (by a product of two narrow ones) or, where the file holds whole differences, any weight or bias: all
layers concerned are linear in their weights, so `weight + difference` gives the sum of both outputs.

Read are the files of lightx2v and FusionX and those that `save_lora` writes.
"""

import copy
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from InfiniteTalk.key_maps import UnknownKeyError, transformer_key
from InfiniteTalk.precision import is_float8_weight, requantized
from InfiniteTalk.weight_files import open_weights, save_weights

logger = logging.getLogger(__name__)

_SUFFIX = ".safetensors"
_ORIGINAL_PREFIX = "diffusion_model."
_KEY = re.compile(r"(?P<module>.+)\.(?P<part>lora_down|lora_up|lora_A|lora_B|alpha|diff|diff_b)(?:\.weight)?")
_FIELDS = {
    "lora_down": "down",
    "lora_A": "down",
    "lora_up": "up",
    "lora_B": "up",
    "alpha": "alpha",
    "diff": "diff",
    "diff_b": "diff_bias",
}
_SAVED_PARTS = {
    "down": "lora_A.weight",
    "up": "lora_B.weight",
    "alpha": "alpha",
    "diff": "diff",
    "diff_bias": "diff_b",
}


class LoraError(ValueError):
    """A LoRA that cannot be used."""


@dataclass(frozen=True)
class LoraLayer:
    """What a LoRA changes in one layer; absent parts are None.

    Attributes:
        down: `[rank, in]` (`[rank, in, …]` of a convolution).
        up: `[out, rank]`.
        alpha: Scalar; the product of the two counts `alpha / rank` times, or once if absent.
        diff: Difference of the layer's weight.
        diff_bias: Difference of its bias.
    """

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: Tensor | None = None
    diff: Tensor | None = None
    diff_bias: Tensor | None = None

    @property
    def gain(self) -> float:
        """The factor of the product of `up` and `down`."""
        if self.alpha is None or self.down is None:
            return 1.0
        return float(self.alpha) / self.down.shape[0]

    def weight_difference(self) -> Tensor | None:
        """The whole change of the weight, in float32, or None."""
        difference = None if self.diff is None else self.diff.float()
        if self.down is None or self.up is None:
            return difference
        product = (self.up.float().flatten(1) @ self.down.float().flatten(1)) * self.gain
        product = product.reshape(self.up.shape[0], *self.down.shape[1:])
        return product if difference is None else product + difference


@dataclass(frozen=True)
class Lora:
    """One LoRA file.

    Attributes:
        name: The file's name without `.safetensors`.
        layers: By the name of the transformer's module.
        unused: Keys of the file that name no layer of this transformer.
    """

    name: str
    layers: Mapping[str, LoraLayer]
    unused: tuple[str, ...] = ()


def read_lora(path: Path) -> Lora:
    """Reads a LoRA file into memory.

    Raises:
        LoraError: Nothing in the file is for this transformer, or a matrix lacks its counterpart.
        WeightFileError: The file cannot be used.
    """
    layers: dict[str, LoraLayer] = {}
    unused = []
    with open_weights(path) as file:
        for key in file.names():
            try:
                module, field = _parse(key)
            except UnknownKeyError:
                unused.append(key)
                continue
            # A copy, because the file is closed and may be deleted while the LoRA is in use.
            layers[module] = replace(layers.get(module, LoraLayer()), **{field: file.tensor(key).clone()})
    lora = Lora(path.name.removesuffix(_SUFFIX), layers, tuple(sorted(unused)))
    _check(lora)
    return lora


def named_by_file(paths: Sequence[Path]) -> dict[str, Path]:
    """LoRA files by the names they go by: those of the files, whole but for `.safetensors`.

    Raises:
        LoraError: Two files in different folders have one name.
    """
    names = [path.name.removesuffix(_SUFFIX) for path in paths]
    _require_distinct(names)
    return dict(zip(names, paths, strict=True))


def save_lora(lora: Lora, path: Path) -> None:
    """Writes a LoRA under our names, matrices in bfloat16; `read_lora` reads it again."""
    tensors = {}
    for module, layer in lora.layers.items():
        for field, part in _SAVED_PARTS.items():
            tensor = getattr(layer, field)
            if tensor is not None:
                tensors[f"{module}.{part}"] = tensor if field == "alpha" else tensor.bfloat16()
    save_weights(tensors, path)


def _parse(key: str) -> tuple[str, str]:
    match = _KEY.fullmatch(key)
    if match is None:
        raise UnknownKeyError(key)
    module = match["module"]
    if module.startswith(_ORIGINAL_PREFIX):
        module = transformer_key(module.removeprefix(_ORIGINAL_PREFIX))
    return module, _FIELDS[match["part"]]


def _check(lora: Lora) -> None:
    if not lora.layers:
        raise LoraError(
            f"{lora.name} changes nothing in this transformer; it holds {', '.join(lora.unused[:5])} …"
        )
    halves = [name for name, layer in lora.layers.items() if (layer.down is None) != (layer.up is None)]
    if halves:
        raise LoraError(f"{lora.name} has only one of the two matrices for {', '.join(halves)}")
    if lora.unused:
        logger.warning("LoRA %s: these keys are not used: %s", lora.name, ", ".join(lora.unused))


class LoraSwitch:
    """LoRAs attached to a transformer, all off until `use` switches them on.

    Attach them before offloading is set up. What an `InfiniteTalkContextCache` holds was made with the LoRAs
    then in use: begin with a new one after switching.
    """

    def __init__(
        self,
        transformer: nn.Module,
        loras: Sequence[Lora],
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        """Prepares the changes.

        Args:
            transformer: What they are for.
            loras: Each known by its name.
            dtype: What the transformer computes in.

        Raises:
            LoraError: Two LoRAs have one name, or one fits the transformer nowhere.
        """
        _require_distinct(lora.name for lora in loras)
        self._changes = {lora.name: _changes(transformer, lora, dtype) for lora in loras}
        modules = chain.from_iterable(self._changes.values())
        self._layers = {module: _AdaptedLayer(module) for module in dict.fromkeys(modules)}

    @property
    def names(self) -> tuple[str, ...]:
        """The LoRAs that can be switched on."""
        return tuple(self._changes)

    def use(self, scales: Mapping[str, float]) -> None:
        """Switches on the LoRAs that are named, each at its scale, and all others off.

        Raises:
            LoraError: No LoRA of that name is attached.
        """
        unknown = set(scales) - set(self._changes)
        if unknown:
            raise LoraError(
                f"no LoRA {', '.join(sorted(unknown))} here, only {', '.join(self.names) or 'none'}"
            )
        in_use: dict[nn.Module, list[tuple[_Change, float]]] = {module: [] for module in self._layers}
        for name, scale in scales.items():
            if scale != 0:
                for module, change in self._changes[name].items():
                    in_use[module].append((change, scale))
        for module, layer in self._layers.items():
            layer.in_use = tuple(in_use[module])


def merge_lora(transformer: nn.Module, lora: Lora, scale: float = 1.0) -> None:
    """Adds a LoRA to the weights for good: no cost per call, but no way back and no other scale.

    Weights in float8 are rounded once more.

    Raises:
        LoraError: The LoRA fits the transformer nowhere.
    """
    for module, layer in _fitting_layers(transformer, lora):
        for name, difference in (("weight", layer.weight_difference()), ("bias", layer.diff_bias)):
            if difference is not None:
                module.register_parameter(name, _sum(module.get_parameter(name), difference, scale))


def _sum(parameter: Tensor, difference: Tensor, scale: float) -> nn.Parameter:
    whole = parameter.dequantize() if is_float8_weight(parameter) else parameter
    total = whole.float() + scale * difference.to(parameter.device, torch.float32)
    if is_float8_weight(parameter):
        return nn.Parameter(requantized(parameter, total), requires_grad=False)
    return nn.Parameter(total.to(parameter.dtype), requires_grad=False)


class _LinearChange(nn.Module):
    """What a LoRA changes in a linear layer."""

    down: Tensor | None
    up: Tensor | None
    diff: Tensor | None
    diff_bias: Tensor | None

    def __init__(self, layer: LoraLayer, dtype: torch.dtype) -> None:
        super().__init__()
        up = None if layer.up is None else layer.up.float() * layer.gain
        parts = {"down": layer.down, "up": up, "diff": layer.diff, "diff_bias": layer.diff_bias}
        for name, tensor in parts.items():
            self.register_buffer(name, None if tensor is None else tensor.to(dtype))

    def add_to(self, output: Tensor, hidden_states: Tensor, scale: float) -> None:
        """Add the change of the output [..., out] in place: the product is not held beside it."""
        dtype = output.dtype
        inputs, outputs = hidden_states.flatten(0, -2).to(dtype), output.view(-1, output.shape[-1])
        if self.down is not None and self.up is not None:
            outputs.addmm_(F.linear(inputs, self.down.to(dtype)), self.up.to(dtype).T, alpha=scale)
        if self.diff is not None:
            outputs.addmm_(inputs, self.diff.to(dtype).T, alpha=scale)
        if self.diff_bias is not None:
            outputs.add_(self.diff_bias.to(dtype), alpha=scale)


class _SameLayerChange(nn.Module):
    """What a LoRA changes in a norm or convolution: the same layer, with the differences as its weights."""

    def __init__(self, module: nn.Module, layer: LoraLayer) -> None:
        super().__init__()
        self.layer = _same_layer_with_differences(module, layer)

    def add_to(self, output: Tensor, hidden_states: Tensor, scale: float) -> None:
        """Add the change of the output in place."""
        output.add_(self.layer(hidden_states).to(output.dtype), alpha=scale)


_Change = _LinearChange | _SameLayerChange


class _AdaptedLayer:
    """A layer of the transformer and the changes that are in use there.

    Its hook stays on the layer for good and looks up what is in use: compiled blocks are compiled again when
    that changes, but never notice hooks that come and go.
    """

    def __init__(self, module: nn.Module) -> None:
        self.in_use: tuple[tuple[_Change, float], ...] = ()
        module.register_forward_hook(self._add_changes)

    def _add_changes(self, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        for change, scale in self.in_use:
            # The change follows the layer's input to its device.
            if any(tensor.device != output.device for tensor in _tensors(change)):
                change.to(output.device)
            change.add_to(output, inputs[0], scale)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())


def _changes(transformer: nn.Module, lora: Lora, dtype: torch.dtype) -> dict[nn.Module, _Change]:
    return {
        module: _LinearChange(layer, dtype)
        if isinstance(module, nn.Linear)
        else _SameLayerChange(module, layer)
        for module, layer in _fitting_layers(transformer, lora)
    }


def _same_layer_with_differences(module: nn.Module, layer: LoraLayer) -> nn.Module:
    """A copy of a norm or convolution whose weights are the differences."""
    change = copy.deepcopy(module).requires_grad_(False)
    differences = {"weight": layer.weight_difference(), "bias": layer.diff_bias}
    for name, parameter in change.named_parameters():
        difference = differences[name]
        parameter.data = torch.zeros_like(parameter) if difference is None else difference.to(parameter)
    return change


def _fitting_layers(transformer: nn.Module, lora: Lora) -> list[tuple[nn.Module, LoraLayer]]:
    """The layers of the transformer that the LoRA changes; names those that it fits not."""
    fitting, misfits = [], []
    for name, layer in lora.layers.items():
        module = _submodule(transformer, name)
        if module is not None and _fits(module, layer):
            fitting.append((module, layer))
        else:
            misfits.append(name)
    if not fitting:
        raise LoraError(f"{lora.name} fits no layer of this transformer; it is for one of another size")
    if misfits:
        logger.warning("LoRA %s: of another shape here and not used: %s", lora.name, ", ".join(misfits))
    return fitting


def _submodule(transformer: nn.Module, name: str) -> nn.Module | None:
    try:
        return transformer.get_submodule(name)
    except AttributeError:
        return None


def _fits(module: nn.Module, layer: LoraLayer) -> bool:
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if layer.down is not None and layer.up is not None:
        product = (layer.up.shape[0], *layer.down.shape[1:])
        if weight is None or weight.shape != product or layer.up.shape[1] != layer.down.shape[0]:
            return False
    differences = ((weight, layer.diff), (bias, layer.diff_bias))
    return all(
        difference is None or (parameter is not None and parameter.shape == difference.shape)
        for parameter, difference in differences
    )


def _require_distinct(names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise LoraError(f"two LoRAs have the name {', '.join(twice)}; rename one of the files")
