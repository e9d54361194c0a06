"""LoRA files: what they change in which layer of the transformer, in every key layout in use.

The layouts are those of `InfiniteTalk.checkpoints.lora_keys`; `save_lora` writes our own.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from InfiniteTalk.checkpoints.lora_keys import UnsupportedPartError, UnusedKeyError, parse_key
from InfiniteTalk.checkpoints.weight_files import open_weights, save_weights

logger = logging.getLogger(__name__)

MODULATION = "scale_shift_table"
"""The parameter of a block, and of the transformer itself for its output head, that `diff_m` changes."""

_SUFFIX = ".safetensors"
_HEAD = "head"
_SAVED_PARTS = {
    "down": "lora_A.weight",
    "up": "lora_B.weight",
    "alpha": "alpha",
    "diff": "diff",
    "diff_bias": "diff_b",
    "diff_modulation": "diff_m",
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
        diff_modulation: Difference of the modulation of a block `[1, 6, width]` or, where the layer is the
            transformer itself (named ""), of the output head `[1, 2, width]`.
    """

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: Tensor | None = None
    diff: Tensor | None = None
    diff_bias: Tensor | None = None
    diff_modulation: Tensor | None = None

    @property
    def gain(self) -> float:
        """The factor of the product of `up` and `down`."""
        if self.alpha is None or self.down is None:
            return 1.0
        return float(self.alpha) / self.down.shape[0]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the layer's parameters that it changes."""
        changes = {
            "weight": self.down if self.diff is None else self.diff,
            "bias": self.diff_bias,
            MODULATION: self.diff_modulation,
        }
        return tuple(name for name, change in changes.items() if change is not None)

    def difference(self, parameter: str) -> Tensor | None:
        """The whole change of one of the layer's parameters, or None."""
        if parameter == "weight":
            return self.weight_difference()
        return self.diff_bias if parameter == "bias" else self.diff_modulation

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
        unused: Keys of the file that are not applied, each with the reason.
    """

    name: str
    layers: Mapping[str, LoraLayer]
    unused: Mapping[str, str] = field(default_factory=dict)


def read_lora(path: Path) -> Lora:
    """Reads a LoRA file into memory.

    Raises:
        LoraError: Nothing in the file is for this transformer, a matrix lacks its counterpart, or a layer
            holds a part that can't be applied beside its matrices, as DoRA's magnitudes.
        WeightFileError: The file cannot be used.
    """
    layers: dict[str, LoraLayer] = {}
    unused = {}
    with open_weights(path) as file:
        for key in file.names():
            try:
                place = parse_key(key)
            except UnusedKeyError as error:
                unused[key] = error.reason
                continue
            except UnsupportedPartError as error:
                raise LoraError(f"{path.name} can't be applied as a whole: {key} {error.reason}") from error
            # A copy, because the file is closed and may be deleted while the LoRA is in use.
            tensor = file.tensor(key).clone()
            layers[place.module] = replace(layers.get(place.module, LoraLayer()), **{place.field: tensor})
    lora = Lora(path.name.removesuffix(_SUFFIX), layers, unused)
    _check(lora)
    return lora


def named_by_file(paths: Sequence[Path]) -> dict[str, Path]:
    """LoRA files by the names they go by: those of the files, whole but for `.safetensors`.

    Raises:
        LoraError: Two files in different folders have one name.
    """
    names = [path.name.removesuffix(_SUFFIX) for path in paths]
    require_distinct(names)
    return dict(zip(names, paths, strict=True))


def save_lora(lora: Lora, path: Path) -> None:
    """Writes a LoRA under our names, matrices in bfloat16; `read_lora` reads it again."""
    tensors = {}
    for module, layer in lora.layers.items():
        for name, part in _SAVED_PARTS.items():
            tensor = getattr(layer, name)
            if tensor is not None:
                tensors[f"{module or _HEAD}.{part}"] = tensor if name == "alpha" else tensor.bfloat16()
    save_weights(tensors, path)


def _check(lora: Lora) -> None:
    if not lora.layers:
        raise LoraError(
            f"{lora.name} changes nothing in this transformer; it holds {', '.join(list(lora.unused)[:5])} …"
        )
    halves = [name for name, layer in lora.layers.items() if (layer.down is None) != (layer.up is None)]
    if halves:
        raise LoraError(f"{lora.name} has only one of the two matrices for {', '.join(halves)}")
    for reason in sorted(set(lora.unused.values())):
        keys = sorted(key for key, why in lora.unused.items() if why == reason)
        logger.warning("LoRA %s: %s, not used: %s", lora.name, reason, ", ".join(keys))


def require_distinct(names: Iterable[str]) -> None:
    """Check that LoRAs can be told apart.

    Raises:
        LoraError: Two have one name.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise LoraError(f"two LoRAs have the name {', '.join(twice)}; rename one of the files")
