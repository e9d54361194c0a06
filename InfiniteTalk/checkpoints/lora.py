"""LoRA: small changes of the transformer's weights, switched on and off between calls.

The change of a matrix stays beside it and is added to that layer's output, so one resident transformer
serves every preset, and 8-bit weights take a LoRA as well as others. Biases and the weights of norms and
convolutions, and the modulation of blocks and head, are small: differences are added to them when a LoRA is
switched on, and the originals kept.

Files are read by `InfiniteTalk.checkpoints.lora_files`; `lora_merging` adds LoRAs to the weights for good.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import nn

from InfiniteTalk.checkpoints.lora_files import MODULATION, Lora, LoraError, LoraLayer, require_distinct
from InfiniteTalk.projections import AdaptableLinear, LinearBranch, make_adaptable

logger = logging.getLogger(__name__)


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
        require_distinct(lora.name for lora in loras)
        self._dtype = dtype
        self._changes = {lora.name: dict(fitting_layers(transformer, lora)) for lora in loras}
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
        differences = [(layer.difference(self._name), scale) for layer, scale in layers]
        changes = [(difference, scale) for difference, scale in differences if difference is not None]
        if not changes and not self._is_changed:
            return
        total = self._original.float()
        for difference, scale in changes:
            total = total + scale * difference.to(total).reshape(total.shape)
        parameter = self.module.get_parameter(self._name)
        parameter.data.copy_(total if changes else self._original)
        self._is_changed = bool(changes)


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


def fitting_layers(transformer: nn.Module, lora: Lora) -> list[tuple[nn.Module, LoraLayer]]:
    """The layers of the transformer that a LoRA changes; those that it doesn't fit are logged.

    Raises:
        LoraError: It fits none.
    """
    fitting, absent, misfits = [], [], []
    for name, layer in lora.layers.items():
        module = _submodule(transformer, name)
        if module is None:
            absent.append(name)
        elif _fits(module, layer):
            fitting.append((module, layer))
        else:
            misfits.append(name)
    if not fitting:
        raise LoraError(f"{lora.name} fits no layer of this transformer; it is for one of another size")
    for reason, names in (("this transformer has no such layer", absent), ("of another shape here", misfits)):
        if names:
            logger.warning("LoRA %s: %s, not used: %s", lora.name, reason, ", ".join(names))
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
    if layer.diff_modulation is not None:
        modulation = getattr(module, MODULATION, None)
        if modulation is None or modulation.squeeze(0).shape != layer.diff_modulation.squeeze(0).shape:
            return False
    differences = ((weight, layer.diff), (bias, layer.diff_bias))
    return all(
        difference is None or (parameter is not None and parameter.shape == difference.shape)
        for parameter, difference in differences
    )
