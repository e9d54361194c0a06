"""Keys of LoRA files: which part of which layer each is, in the layouts in use.

- lightx2v and FusionX: `diffusion_model.blocks.3.self_attn.q.lora_down.weight` (or `lora_A`), `.alpha`,
  `.diff`, `.diff_b` and, for a block's or the head's modulation, `.diff_m`;
- kohya: `lora_unet_blocks_3_self_attn_q.lora_down.weight`, whose dots in names are underscores;
- diffusers: `transformer.blocks.3.attn1.to_q.lora_A.weight`;
- PEFT: `base_model.model.blocks.3.attn1.to_q.lora_A.default.weight`;
- any of these names without its prefix.
"""

import re
from dataclasses import dataclass

from InfiniteTalk.checkpoints.key_maps import (
    UnknownKeyError,
    original_transformer_key,
    transformer_key,
    transformer_key_of_flattened,
)

_PREFIX = re.compile(r"(?:(?:base_model\.model|diffusion_model|transformer|model)\.)+")
_FLATTENED_PREFIX = re.compile(r"(?:lora_unet|lora_transformer)_")
_TEXT_ENCODER = re.compile(r"(?:lora_te\d?_|text_encoder|te\d?\.|text_model|cond_stage_model)")
_KEY = re.compile(
    r"(?P<module>.+?)\."
    r"(?P<part>lora_down|lora_up|lora\.down|lora\.up|lora_A|lora_B|alpha|diff|diff_b|diff_m"
    r"|dora_scale|lora_magnitude_vector|lora_mid)"
    r"(?:\.default)?(?:\.(?P<parameter>weight|bias))?"
)
_FIELDS = {
    "lora_down": "down",
    "lora.down": "down",
    "lora_A": "down",
    "lora_up": "up",
    "lora.up": "up",
    "lora_B": "up",
    "alpha": "alpha",
    "diff": "diff",
    "diff_b": "diff_bias",
}
_DORA = "holds DoRA magnitudes, which rescale the sum of the base's and the LoRA's weights"
_UNSUPPORTED = {
    "dora_scale": _DORA,
    "lora_magnitude_vector": _DORA,
    "lora_mid": "is the core of a Tucker decomposition",
}
_MODULATION = re.compile(r"(?:(?P<owner>.+)\.)?scale_shift_table")


class UnusedKeyError(ValueError):
    """A key that changes nothing in this transformer; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnsupportedPartError(ValueError):
    """A part without which the rest of its layer would be applied wrongly; `reason` says what it is."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class KeyPlace:
    """What a key's tensor is.

    Attributes:
        module: Name of the transformer's module; "" is the transformer itself.
        field: The field of `LoraLayer`.
    """

    module: str
    field: str


def parse_key(key: str) -> KeyPlace:
    """Find the part of the layer that a key names.

    Raises:
        UnusedKeyError: It names none of this transformer.
        UnsupportedPartError: Leaving it out would apply a layer by half.
    """
    if _TEXT_ENCODER.match(key):
        raise UnusedKeyError("for a text encoder")
    match = _KEY.fullmatch(key)
    if match is None:
        raise UnusedKeyError("no part of a LoRA")
    part = match["part"]
    name = _renamed(f"{match['module']}.modulation" if part == "diff_m" else match["module"])
    if part in _UNSUPPORTED:
        raise UnsupportedPartError(_UNSUPPORTED[part])
    if part in ("lora_A", "lora_B") and match["parameter"] == "bias":
        raise UnsupportedPartError("is a bias inside the product of the two matrices")
    modulation = _MODULATION.fullmatch(name)
    if modulation is None:
        return KeyPlace(name, _FIELDS[part])
    if part not in ("diff", "diff_m"):
        raise UnusedKeyError("a modulation has no matrix")
    return KeyPlace(modulation["owner"] or "", "diff_modulation")


def _renamed(name: str) -> str:
    """Our name of a module or modulation."""
    flattened = _FLATTENED_PREFIX.match(name)
    try:
        if flattened:
            return transformer_key_of_flattened(name[flattened.end() :].replace(".", "_"))
        prefix = _PREFIX.match(name)
        return _known(name[prefix.end() :] if prefix else name)
    except UnknownKeyError:
        raise UnusedKeyError("this transformer has no such layer") from None


def _known(name: str) -> str:
    # The parameter's name makes the maps compare the whole name of the module.
    try:
        return transformer_key(f"{name}.weight").removesuffix(".weight")
    except UnknownKeyError:
        original_transformer_key(f"{name}.weight")
        return name
