import errno
import logging
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModel, UMT5EncoderModel, Wav2Vec2Model

from InfiniteTalk.checkpoints.completeness import IncompleteModelError
from InfiniteTalk.checkpoints.conversion import PrecisionMismatchError, convert, plan_conversion
from InfiniteTalk.checkpoints.lora_files import LoraError, named_by_file
from InfiniteTalk.checkpoints.original_checkpoint import (
    CLIP_FILE,
    OriginalCheckpoint,
    UnknownKeysError,
    place_clip,
    read_original,
)
from InfiniteTalk.checkpoints.precision import Precision
from InfiniteTalk.checkpoints.weight_files import BrokenFileError, NotAFileError

SHARD = "diffusion_pytorch_model-00003-of-00007.safetensors"


@pytest.fixture
def download(tiny_checkpoint: Path, tmp_path: Path) -> OriginalCheckpoint:
    """Downloads of this test's own, to be changed and deleted."""
    directory = tmp_path / "download"
    shutil.copytree(tiny_checkpoint, directory)
    return OriginalCheckpoint.below(directory, named_by_file(sorted((directory / "lora").iterdir())))


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def change_shard(download: OriginalCheckpoint, change: dict[str, torch.Tensor], drop: int = 0) -> list[str]:
    """Writes a shard anew, with some of its first keys dropped, whose names are returned."""
    tensors = load_file(download.ckpt_dir / SHARD)
    dropped = sorted(tensors)[:drop]
    kept = {key: tensor.clone() for key, tensor in tensors.items() if key not in dropped}
    save_file(kept | change, download.ckpt_dir / SHARD)
    return dropped


def test_prepared_folders_are_what_diffusers_and_transformers_read(prepared_bf16: Path) -> None:
    base = prepared_bf16 / "Wan2.1-I2V-14B-480P"

    assert WanTransformer3DModel.from_pretrained(base / "transformer").config.num_layers == 2
    assert AutoencoderKLWan.from_pretrained(base / "vae").config.base_dim == 4
    assert UMT5EncoderModel.from_pretrained(base / "text_encoder").config.d_model == 32
    assert CLIPVisionModel.from_pretrained(base / "image_encoder").config.num_hidden_layers == 2
    assert Wav2Vec2Model.from_pretrained(prepared_bf16 / "chinese-wav2vec2-base").config.hidden_size == 32


def test_float8_halves_the_matrices_and_leaves_the_rest(prepared_bf16: Path, prepared_fp8: Path) -> None:
    name = f"Wan2.1-I2V-14B-480P/transformer/{SHARD}"
    whole, rounded = load_file(prepared_bf16 / name), load_file(prepared_fp8 / name)

    matrices = {key.removesuffix("_scale") for key in rounded if key.endswith("_scale")}
    assert matrices
    for key in matrices:
        assert rounded[key].dtype == torch.float8_e4m3fn
        assert rounded[key + "_scale"].shape == (rounded[key].shape[0], 1)
        # Half a unit in the last of 3 binary places; small values of a row lose more, relatively.
        error = (rounded[key].float() * rounded[key + "_scale"] - whole[key].float()).abs()
        largest = whole[key].float().abs().amax(dim=1, keepdim=True)
        assert (error <= largest * 2**-4).all()
    for key in whole.keys() - matrices:
        assert torch.equal(rounded[key], whole[key])


def test_norms_and_modulation_keep_their_full_precision(tiny_checkpoint: Path, prepared_fp8: Path) -> None:
    shard = "diffusion_pytorch_model-00002-of-00007.safetensors"
    prepared = load_file(prepared_fp8 / "Wan2.1-I2V-14B-480P" / "transformer" / shard)
    original = load_file(tiny_checkpoint / "Wan2.1-I2V-14B-480P" / shard)

    assert torch.equal(prepared["blocks.0.scale_shift_table"], original["blocks.0.modulation"])


def test_only_the_used_part_of_clip_is_kept(prepared_bf16: Path) -> None:
    keys = load_file(prepared_bf16 / "Wan2.1-I2V-14B-480P" / "image_encoder" / "model.safetensors").keys()

    assert "encoder.layers.1.mlp.fc1.weight" in keys
    assert not any("layers.2" in key or "text" in key for key in keys)


def test_what_is_dropped_is_named(
    tiny_original: OriginalCheckpoint, caplog: pytest.LogCaptureFixture
) -> None:
    file = tiny_original.ckpt_dir / CLIP_FILE
    with caplog.at_level(logging.DEBUG, "InfiniteTalk"):
        kept = dict(read_original(file, place_clip(file)))

    used = {key for key in torch.load(file) if key not in caplog.text}
    assert "textual." in caplog.text
    assert "visual.transformer.2.mlp.0.weight" in caplog.text
    fused = sum("to_qkv" in key for key in used)  # Each becomes three.
    assert len(kept) == len(used) + 2 * fused


def test_each_source_may_be_deleted_once_its_step_is_done(
    download: OriginalCheckpoint, prepared_fp8: Path, tmp_path: Path
) -> None:
    steps = plan_conversion(download, tmp_path / "prepared", Precision.FP8)
    for step in steps:
        step.run()
        for source in step.sources:
            shutil.rmtree(source) if source.is_dir() else source.unlink()

    assert files(tmp_path / "prepared") == files(prepared_fp8)


def test_a_conversion_that_was_cut_off_goes_on_where_it_was(
    download: OriginalCheckpoint, prepared_bf16: Path, tmp_path: Path
) -> None:
    destination = tmp_path / "prepared"
    for step in plan_conversion(download, destination, Precision.BF16)[:4]:
        step.run()
        for source in step.sources:
            source.unlink()
    (destination / "Wan2.1-I2V-14B-480P" / "transformer" / f".{SHARD}.partial").write_bytes(b"half a file")

    again = plan_conversion(download, destination, Precision.BF16)
    assert [step.is_done for step in again[:5]] == [True, True, True, True, False]
    convert(download, destination, Precision.BF16)

    (destination / "Wan2.1-I2V-14B-480P" / "transformer" / f".{SHARD}.partial").unlink()
    assert files(destination) == files(prepared_bf16)


def test_a_disk_that_takes_no_more_is_told_as_the_system_says_it_and_the_conversion_goes_on_later(
    tiny_original: OriginalCheckpoint, tmp_path: Path
) -> None:
    with largest_file(20_000), pytest.raises(OSError, match="File too large") as fault:
        convert(tiny_original, tmp_path, Precision.FP8)
    assert fault.value.errno == errno.EFBIG
    convert(tiny_original, tmp_path, Precision.FP8)
    assert not list(tmp_path.rglob("*.partial"))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write behind this size, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_plan_needs_only_the_list_of_shards(download: OriginalCheckpoint, tmp_path: Path) -> None:
    for shard in download.ckpt_dir.glob("*.safetensors"):
        shard.unlink()

    steps = plan_conversion(download, tmp_path / "prepared", Precision.FP8)
    assert [step.sources[0].name for step in steps[1:8]] == [
        f"diffusion_pytorch_model-0000{number}-of-00007.safetensors" for number in range(1, 8)
    ]


def test_the_plan_needs_no_list_where_there_is_a_shard(download: OriginalCheckpoint, tmp_path: Path) -> None:
    (download.ckpt_dir / "diffusion_pytorch_model.safetensors.index.json").unlink()

    convert(download, tmp_path / "prepared", Precision.BF16)


def test_a_weight_that_is_missing_is_named(download: OriginalCheckpoint, tmp_path: Path) -> None:
    dropped = change_shard(download, {}, drop=2)

    with pytest.raises(IncompleteModelError, match="2 missing") as error:
        convert(download, tmp_path / "prepared", Precision.BF16)
    assert dropped[0].split(".")[0] in str(error.value)


def test_weights_of_unknown_names_are_all_named(download: OriginalCheckpoint, tmp_path: Path) -> None:
    change_shard(download, {"vace_blocks.0.weight": torch.ones(2), "face_adapter.bias": torch.ones(2)})

    with pytest.raises(UnknownKeysError) as error:
        convert(download, tmp_path / "prepared", Precision.BF16)
    assert error.value.keys == ["face_adapter.bias", "vace_blocks.0.weight"]


def test_a_weight_of_another_shape_is_named(download: OriginalCheckpoint, tmp_path: Path) -> None:
    change_shard(download, {"blocks.0.self_attn.q.bias": torch.ones(3)})

    with pytest.raises(IncompleteModelError, match=r"blocks\.0\.attn1\.to_q\.bias \(3,\) instead of \(64,\)"):
        convert(download, tmp_path / "prepared", Precision.BF16)


def test_a_quantised_file_is_not_taken_for_an_original(download: OriginalCheckpoint, tmp_path: Path) -> None:
    change_shard(download, {"blocks.0.self_attn.q.weight": torch.ones(64, 64, dtype=torch.int8)})

    with pytest.raises(BrokenFileError, match="quantised"):
        convert(download, tmp_path / "prepared", Precision.BF16)


def test_a_folder_where_a_file_is_meant_is_said_to_be_one(
    tiny_original: OriginalCheckpoint, tmp_path: Path
) -> None:
    folder = tiny_original.infinitetalk["single"].parent
    original = OriginalCheckpoint(tiny_original.ckpt_dir, tiny_original.wav2vec_dir, {"single": folder})

    with pytest.raises(NotAFileError, match="is a folder"):
        convert(original, tmp_path, Precision.BF16)


def test_a_file_that_was_cut_short_is_named(download: OriginalCheckpoint, tmp_path: Path) -> None:
    for path in (download.ckpt_dir / SHARD, download.ckpt_dir / CLIP_FILE):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BrokenFileError, match=path.name):
            convert(download, tmp_path / "prepared", Precision.BF16)
        path.write_bytes(whole)


def test_nothing_in_a_pth_file_is_run(download: OriginalCheckpoint, tmp_path: Path) -> None:
    torch.save({"visual.head": Path("anything but a tensor")}, download.ckpt_dir / CLIP_FILE)

    with pytest.raises(BrokenFileError, match="more than tensors"):
        convert(download, tmp_path / "prepared", Precision.BF16)


def test_a_tree_of_another_precision_is_not_mixed_with(
    tiny_original: OriginalCheckpoint, prepared_bf16: Path
) -> None:
    with pytest.raises(PrecisionMismatchError, match="bf16"):
        convert(tiny_original, prepared_bf16, Precision.FP8)


def test_two_lora_files_of_one_name_are_refused(tiny_original: OriginalCheckpoint, tmp_path: Path) -> None:
    (file, *_) = tiny_original.loras.values()

    with pytest.raises(LoraError, match="two LoRAs have the name"):
        named_by_file([file, tmp_path / file.name])


def test_a_lora_goes_by_the_name_it_is_given(tiny_original: OriginalCheckpoint, tmp_path: Path) -> None:
    (file, *_) = tiny_original.loras.values()
    original = OriginalCheckpoint.below(tiny_original.ckpt_dir.parent, {"fast": file})
    convert(original, tmp_path, Precision.BF16)

    assert [path.name for path in (tmp_path / "InfiniteTalk" / "lora").iterdir()] == ["fast.safetensors"]
