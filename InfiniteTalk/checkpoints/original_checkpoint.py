"""The downloaded files: where they are, and their tensors under our names.

Shared by conversion (which writes them down again) and loading (which builds models of them directly).
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from InfiniteTalk.checkpoints.encoder_key_maps import T5_KEYS, VAE_KEYS, WAV2VEC2_KEYS, Placement, clip_keys
from InfiniteTalk.checkpoints.key_maps import UnknownKeyError, transformer_key
from InfiniteTalk.checkpoints.model_configs import count_layers
from InfiniteTalk.checkpoints.weight_files import BrokenFileError, NotAFileError, WeightFile, open_weights

logger = logging.getLogger(__name__)

Speakers = Literal["single", "multi"]
SPEAKERS: tuple[Speakers, ...] = ("single", "multi")

T5_FILE = "models_t5_umt5-xxl-enc-bf16.pth"
CLIP_FILE = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
VAE_FILE = "Wan2.1_VAE.pth"
TOKENIZER_FOLDER = "google/umt5-xxl"
SHARD_INDEX = "diffusion_pytorch_model.safetensors.index.json"

Place = Callable[[str], Placement]

_SHARD_NAME = re.compile(r"diffusion_pytorch_model-\d{5}-of-(\d{5})\.safetensors")


class UnknownKeysError(ValueError):
    """A file holds weights that the model has no place for; most likely it is of another model."""

    def __init__(self, path: Path, keys: list[str]) -> None:
        super().__init__(f"{path} holds {len(keys)} weights of unknown names: {', '.join(sorted(keys))}")
        self.keys = sorted(keys)


@dataclass(frozen=True)
class OriginalCheckpoint:
    """Where the downloads are; none of the files needs to be there yet.

    Attributes:
        ckpt_dir: The Wan 2.1 image-to-video base, `Wan2.1-I2V-14B-480P`.
        wav2vec_dir: The folder of wav2vec 2.0, `chinese-wav2vec2-base`.
        infinitetalk: The file of InfiniteTalk's audio layers for each number of speakers wanted.
        loras: LoRA files by the names they shall go by.
        flashtalk: The folder of a transformer that holds its audio layers itself, `SoulX-FlashTalk-14B`.
    """

    ckpt_dir: Path
    wav2vec_dir: Path
    infinitetalk: Mapping[Speakers, Path] = field(default_factory=dict)
    loras: Mapping[str, Path] = field(default_factory=dict)
    flashtalk: Path | None = None

    @classmethod
    def below(cls, directory: Path, loras: Mapping[str, Path] | None = None) -> "OriginalCheckpoint":
        """The downloads in one folder, each under its repository's name."""
        return cls(
            ckpt_dir=directory / "Wan2.1-I2V-14B-480P",
            wav2vec_dir=directory / "chinese-wav2vec2-base",
            infinitetalk={
                speakers: directory / "InfiniteTalk" / speakers / "infinitetalk.safetensors"
                for speakers in SPEAKERS
            },
            loras=loras or {},
        )


def shard_names(folders: Iterable[Path]) -> list[str]:
    """The names of all shards of the base transformer.

    The list that comes with the shards tells; without it the shards themselves do, whose names say how many
    there are, so that one of them in any of `folders` is enough.

    Raises:
        NotAFileError: There is neither the list nor a shard.
    """
    folders = list(folders)
    for folder in folders:
        if (folder / SHARD_INDEX).is_file():
            weight_map = json.loads((folder / SHARD_INDEX).read_text())["weight_map"]
            return sorted(set(weight_map.values()))
    for name in sorted(file.name for folder in folders for file in folder.glob("*.safetensors")):
        match = _SHARD_NAME.fullmatch(name)
        if match:
            total = int(match[1])
            return [f"diffusion_pytorch_model-{i:05}-of-{total:05}.safetensors" for i in range(1, total + 1)]
    raise NotAFileError(f"{folders[0]} holds no shard of the transformer and no {SHARD_INDEX}")


def place_transformer(key: str) -> Placement:
    """Where a weight of the base or of InfiniteTalk's file goes."""
    return Placement((transformer_key(key),))


def place_clip(path: Path) -> Place:
    """Where the weights of this CLIP file go, which depends on how many blocks it has."""
    with open_weights(path) as file:
        return clip_keys(count_layers("visual.transformer", file.names())).place


place_t5: Place = T5_KEYS.place
place_vae: Place = VAE_KEYS.place
place_wav2vec2: Place = WAV2VEC2_KEYS.place


def read_original(path: Path, place: Place) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields the tensors of one original file under our names, one at a time; logs those that are dropped.

    Args:
        path: `.safetensors` or `.pth`.
        place: Where each weight goes.

    Raises:
        UnknownKeysError: `place` has no place for some of the keys.
        WeightFileError: The file cannot be used.
    """
    with open_weights(path) as file:
        placements = _placements(path, file, place)
        if dropped := sorted(set(file.names()) - placements.keys()):
            logger.info("%s: %d weights are not needed and dropped", path.name, len(dropped))
            logger.debug("dropped: %s", ", ".join(dropped))
        for key, placement in placements.items():
            tensor = file.tensor(key)
            if not tensor.is_floating_point():
                raise BrokenFileError(
                    f"{path}: {key} is {tensor.dtype}; a quantised file is not an original one"
                )
            if placement.squeeze:
                tensor = tensor.reshape(squeezed(tuple(tensor.shape)))
            yield from zip(placement.targets, tensor.chunk(len(placement.targets)), strict=True)


def original_shapes(path: Path, place: Place) -> dict[str, tuple[int, ...]]:
    """The shapes of what `read_original` yields, without reading it."""
    shapes = {}
    with open_weights(path) as file:
        for key, placement in _placements(path, file, place).items():
            shape = file.shape(key)
            if placement.squeeze:
                shape = squeezed(shape)
            for target in placement.targets:
                shapes[target] = (shape[0] // len(placement.targets), *shape[1:])
    return shapes


def _placements(path: Path, file: WeightFile, place: Place) -> dict[str, Placement]:
    placements: dict[str, Placement] = {}
    unknown = []
    for key in file.names():
        try:
            placements[key] = place(key)
        except UnknownKeyError:
            unknown.append(key)
    if unknown:
        raise UnknownKeysError(path, unknown)
    return {key: placement for key, placement in placements.items() if placement.targets}


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its leading ones."""
    while shape[0] == 1:
        shape = shape[1:]
    return shape
