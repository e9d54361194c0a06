"""SoulX-FlashTalk-14B: one folder with base and audio layers, beside the models that it shares."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from InfiniteTalk.checkpoints.conversion import BASE_FOLDER, FLASHTALK_FOLDER, convert
from InfiniteTalk.checkpoints.loading import load_components, load_transformer
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.original_checkpoint import OriginalCheckpoint
from InfiniteTalk.checkpoints.precision import Precision
from InfiniteTalk.checkpoints.weight_files import NotAFileError

FLOAT32 = LoadOptions(torch_dtype=torch.float32)


@pytest.fixture(scope="module")
def flashtalk_alone(tiny_checkpoint: Path) -> OriginalCheckpoint:
    return OriginalCheckpoint(
        tiny_checkpoint / "Wan2.1-I2V-14B-480P",
        tiny_checkpoint / "chinese-wav2vec2-base",
        flashtalk=tiny_checkpoint / "SoulX-FlashTalk-14B",
    )


@pytest.fixture(scope="module")
def prepared(flashtalk_alone: OriginalCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flashtalk")
    convert(flashtalk_alone, folder, Precision.BF16)
    return folder


def original_paths(original: OriginalCheckpoint) -> CheckpointPaths:
    return CheckpointPaths(original.ckpt_dir, None, original.wav2vec_dir, merged=original.flashtalk)


def test_prepared_weights_are_those_of_the_download(
    flashtalk_alone: OriginalCheckpoint, prepared: Path
) -> None:
    downloaded = load_transformer(original_paths(flashtalk_alone), "single", LoadOptions())
    ours = load_transformer(CheckpointPaths.flashtalk_below(prepared), "single", LoadOptions())
    expected = downloaded.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.state_dict().items())
    assert ours.state_dict().keys() == expected.keys()


def test_the_base_transformer_is_not_needed_beside_it(prepared: Path) -> None:
    assert sorted(path.name for path in (prepared / BASE_FOLDER).iterdir()) == [
        "image_encoder",
        "text_encoder",
        "tokenizer",
        "vae",
    ]
    assert (prepared / FLASHTALK_FOLDER / "transformer" / "config.json").is_file()


def test_both_families_are_prepared_side_by_side(
    tiny_original: OriginalCheckpoint, flashtalk_alone: OriginalCheckpoint, tmp_path: Path
) -> None:
    both = replace(tiny_original, flashtalk=flashtalk_alone.flashtalk)
    convert(both, tmp_path, Precision.FP8)
    flashtalk = load_transformer(CheckpointPaths.flashtalk_below(tmp_path), "single", FLOAT32)
    infinitetalk = load_transformer(CheckpointPaths.below(tmp_path), "single", FLOAT32)
    assert flashtalk.config.num_layers == infinitetalk.config.num_layers
    name = "blocks.0.norm2.weight"
    assert not torch.equal(flashtalk.state_dict()[name], infinitetalk.state_dict()[name])


def test_all_models_load_beside_it(prepared: Path) -> None:
    components = load_components(CheckpointPaths.flashtalk_below(prepared), "single", FLOAT32)
    assert components.text_encoder is not None
    assert components.vae.config.base_dim == 4


def test_where_audio_layers_are_needed_their_absence_is_said(tiny_original: OriginalCheckpoint) -> None:
    with pytest.raises(NotAFileError, match="no audio layers were given"):
        load_transformer(
            CheckpointPaths(tiny_original.ckpt_dir, None, tiny_original.wav2vec_dir), "single", FLOAT32
        )
