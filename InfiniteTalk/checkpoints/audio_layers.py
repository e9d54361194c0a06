"""The audio layers: which file holds them, and how they take each other's place in a transformer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import Wav2Vec2Config

from InfiniteTalk.checkpoints.completeness import require_complete
from InfiniteTalk.checkpoints.conversion import WEIGHTS_FILE
from InfiniteTalk.checkpoints.filling import block_weights, read_prepared, shapes_of
from InfiniteTalk.checkpoints.key_maps import is_audio_key
from InfiniteTalk.checkpoints.model_configs import audio_config, read_config
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.original_checkpoint import (
    Speakers,
    original_shapes,
    place_transformer,
    read_original,
)
from InfiniteTalk.checkpoints.weight_files import NotAFileError, WeightFileError, open_weights
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel


class WrongSpeakersError(WeightFileError):
    """Audio layers for another number of people. The files differ in nothing but their folder."""


def find_audio_file(infinitetalk: Path | None, speakers: Speakers) -> Path:
    """The file of the audio layers: the one given, or the one for this many speakers in the folder given.

    Raises:
        NotAFileError: None was given, or the folder holds no such file.
        WrongSpeakersError: They are those for one person where two speak.
    """
    if infinitetalk is None:
        raise NotAFileError("no audio layers were given (--infinitetalk_dir)")
    file = _find_audio_file(infinitetalk, speakers)
    if speakers == "multi" and file.parent.name == "single":
        raise WrongSpeakersError(
            f"{file.parent} holds the audio layers for one person; two people need those of "
            f"{file.parent.with_name('multi')}"
        )
    return file


def _find_audio_file(infinitetalk: Path, speakers: Speakers) -> Path:
    if not infinitetalk.is_dir():
        return infinitetalk
    folders = (infinitetalk, infinitetalk / speakers)
    for file in (folder / name for folder in folders for name in (WEIGHTS_FILE, "infinitetalk.safetensors")):
        if file.is_file():
            return file
    raise NotAFileError(f"{infinitetalk} holds no audio layers for {speakers!r}")


def is_prepared_file(path: Path) -> bool:
    """Whether the audio layers in a file go by our names, none of which is an original one."""
    with open_weights(path) as file:
        return any(is_audio_key(name) for name in file.names())


def audio_layers_config(audio_file: Path, wav2vec_dir: Path) -> Mapping[str, Any]:
    if is_prepared_file(audio_file):
        return read_config(audio_file.parent)
    wav2vec2 = Wav2Vec2Config.from_pretrained(wav2vec_dir)
    return audio_config(original_shapes(audio_file, place_transformer), wav2vec2)


def load_audio_layers(
    paths: CheckpointPaths, speakers: Speakers, options: LoadOptions
) -> dict[str, torch.Tensor]:
    """Loads the weights that differ between one and two speakers, by the transformer's names for them.

    Raises:
        WeightFileError: The file is missing or cannot be used.
        UnknownKeysError: The file holds weights of another model.
    """
    file = find_audio_file(paths.infinitetalk, speakers)
    tensors = (
        read_prepared(file, options) if is_prepared_file(file) else read_original(file, place_transformer)
    )
    return dict(block_weights(tensors, options, InfiniteTalkTransformer3DModel._keep_in_fp32_modules))


def replace_layers(
    transformer: InfiniteTalkTransformer3DModel, weights: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Puts weights in the place of those of the same names, each where the one before it is.

    Returns:
        The weights that were replaced.

    Raises:
        IncompleteModelError: The transformer has no such weights; nothing is replaced.
    """
    parameters = dict(transformer.named_parameters())
    replaced = {name: parameters[name].detach() for name in weights if name in parameters}
    shapes, expected = shapes_of(weights), shapes_of(replaced)
    require_complete("the audio layers", shapes, expected)
    placed = {name: _beside(weight, parameters[name]) for name, weight in weights.items()}
    transformer.load_state_dict(placed, strict=False, assign=True)
    return replaced


def _beside(weight: torch.Tensor, other: torch.Tensor) -> torch.nn.Parameter:
    """The weight in the same memory as another: a device's, or the host's, pinned or not."""
    moved = weight.to(other.device)
    pinned = moved.pin_memory() if other.is_pinned() else moved
    return torch.nn.Parameter(pinned, requires_grad=False)
