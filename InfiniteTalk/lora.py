"""LoRA: small changes of the transformer's weights, switched on and off between calls.

The change of a matrix stays beside it and is added to that layer's output, so one resident transformer
serves every preset, and 8-bit weights take a LoRA as well as others. Biases and the weights of norms and
convolutions are small: differences are added to them when a LoRA is switched on, and the originals kept.

Read are the files of lightx2v and FusionX and those that `save_lora` writes.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor, nn

from InfiniteTalk.key_maps import UnknownKeyError, transformer_key
from InfiniteTalk.precision import is_float8_weight, requantized
from InfiniteTalk.projections import AdaptableLinear, LinearBranch, make_adaptable
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
        self._dtype = dtype
        self._changes = {lora.name: dict(_fitting_layers(transformer, lora)) for lora in loras}
        modules = dict.fromkeys(chain.from_iterable(self._changes.values()))
        self._folded = [
            _FoldedParameter(module, name)
            for module in modules
            for name, _ in module.named_parameters(recurse=False)
            if name == "bias" or not isinstance(module, nn.Linear)
        ]
        self._linear = [make_adaptable(module) for module in modules if isinstance(module, nn.Linear)]
        self._sharing = _layers_sharing_an_input(transformer)

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
        in_use = {name: scale for name, scale in scales.items() if scale != 0}
        for parameter in self._folded:
            parameter.set(self._scaled_layers(parameter.module, in_use))
        for layer in self._linear:
            layer.branch = _branch(self._scaled_layers(layer, in_use), self._ranks(layer), self._dtype)
        for layers in self._sharing:
            _share_narrow_product(layers)

    def _scaled_layers(
        self, module: nn.Module, scales: Mapping[str, float]
    ) -> list[tuple["LoraLayer", float]]:
        """The changes of a module that are in use."""
        used = ((self._changes[name].get(module), scale) for name, scale in scales.items())
        return [(layer, scale) for layer, scale in used if layer is not None]

    def _ranks(self, module: nn.Module) -> list[int]:
        """The ranks of all LoRAs attached to a module."""
        layers = (changes.get(module) for changes in self._changes.values())
        return [layer.down.shape[0] for layer in layers if layer is not None and layer.down is not None]


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


class _FoldedParameter:
    """A small weight into which the differences in use are added; the original stays beside it.

    It is written in place, so that offloading and compiled code go on with the tensor they know.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module = module
        self._name = name
        self._original = module.get_parameter(name).detach().clone()
        self._is_changed = False

    @torch.no_grad()
    def set(self, layers: Sequence[tuple[LoraLayer, float]]) -> None:
        """Make the parameter the original plus these layers' differences, each at its scale."""
        differences = [(self._difference(layer), scale) for layer, scale in layers]
        changes = [(difference, scale) for difference, scale in differences if difference is not None]
        if not changes and not self._is_changed:
            return
        total = self._original.float()
        for difference, scale in changes:
            total = total + scale * difference.to(total)
        parameter = self.module.get_parameter(self._name)
        parameter.data.copy_(total if changes else self._original)
        self._is_changed = bool(changes)

    def _difference(self, layer: LoraLayer) -> Tensor | None:
        return layer.diff_bias if self._name == "bias" else layer.weight_difference()


def _branch(
    layers: Sequence[tuple[LoraLayer, float]], ranks: Sequence[int], dtype: torch.dtype
) -> LinearBranch | None:
    """What is added beside a linear layer: the changes in use as one product.

    Its rank is a multiple of the highest attached one, filled up with zeros: LoRAs of different ranks take
    turns without being compiled for.
    """
    downs, ups, full = [], [], None
    for layer, scale in layers:
        if layer.down is not None and layer.up is not None:
            downs.append(layer.down.to(dtype))
            ups.append((layer.up.float() * (layer.gain * scale)).to(dtype))
        if layer.diff is not None:
            difference = layer.diff.float() * scale
            full = difference if full is None else full + difference
    if not downs:
        return None if full is None else LinearBranch(full=full.to(dtype))
    down, up = torch.cat(downs), torch.cat(ups, dim=1)
    missing = -len(down) % max(ranks)
    down, up = F.pad(down, (0, 0, 0, missing)), F.pad(up, (0, missing))
    return LinearBranch(down, up, None if full is None else full.to(dtype))


def _layers_sharing_an_input(transformer: nn.Module) -> list[list[AdaptableLinear]]:
    """Queries, keys and values of each self-attention, where all three can be adapted."""
    attentions = (module for module in transformer.modules() if isinstance(module, WanAttention))
    groups = (
        [getattr(attention, name, None) for name in ("to_q", "to_k", "to_v")]
        for attention in attentions
        if not attention.is_cross_attention
    )
    return [
        [layer for layer in group if isinstance(layer, AdaptableLinear)]
        for group in groups
        if all(isinstance(layer, AdaptableLinear) for layer in group)
    ]


def _share_narrow_product(layers: Sequence[AdaptableLinear]) -> None:
    """Let the first of layers with a common input hold the narrow matrices of all, if their ranks agree."""
    downs = [layer.branch.down for layer in layers if layer.branch is not None]
    narrow = [down for down in downs if down is not None]
    first = layers[0].branch
    if first is not None and len(narrow) == len(layers) and len({len(down) for down in narrow}) == 1:
        layers[0].branch = replace(first, shared_down=torch.cat(narrow))


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
