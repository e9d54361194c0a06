from pathlib import Path

import pytest
import torch

from InfiniteTalk.checkpoints.audio_layers import find_audio_file
from InfiniteTalk.checkpoints.loading import Components, load_components, load_transformer
from InfiniteTalk.checkpoints.model_configs import UnsupportedModelError
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.original_checkpoint import OriginalCheckpoint
from InfiniteTalk.checkpoints.precision import is_block_matrix, is_float8_weight
from InfiniteTalk.checkpoints.weight_files import MemoryMapRefusedError, NotAFileError, open_weights
from tests.infinitetalk.checkpoints.test_lora import velocity

MODELS = ("transformer", "vae", "text_encoder", "image_encoder", "wav2vec2")


def original_paths(original: OriginalCheckpoint) -> CheckpointPaths:
    return CheckpointPaths(original.ckpt_dir, original.infinitetalk["single"], original.wav2vec_dir)


def weights(components: Components) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": tensor
        for name in MODELS
        for key, tensor in getattr(components, name).named_parameters()
    }


@pytest.mark.parametrize("quantize", [False, True])
def test_the_downloads_load_as_what_conversion_makes_of_them(
    tiny_original: OriginalCheckpoint, prepared_bf16: Path, prepared_fp8: Path, quantize: bool
) -> None:
    prepared = weights(
        load_components(CheckpointPaths.below(prepared_fp8 if quantize else prepared_bf16), "single")
    )
    original = weights(
        load_components(original_paths(tiny_original), "single", LoadOptions(quantize=quantize))
    )

    assert prepared.keys() == original.keys()
    for key, tensor in original.items():
        assert tensor.dtype == prepared[key].dtype
        if is_float8_weight(tensor):
            tensor, prepared[key] = tensor.dequantize(), prepared[key].dequantize()
        assert torch.equal(tensor, prepared[key]), key


def test_float8_weights_are_those_inside_the_blocks(prepared_fp8: Path) -> None:
    components = load_components(CheckpointPaths.below(prepared_fp8), "multi")

    for model in (components.transformer, components.text_encoder):
        for key, tensor in model.named_parameters():
            assert is_float8_weight(tensor) == is_block_matrix(key, tuple(tensor.shape)), key


def test_a_prepared_checkpoint_stays_on_the_disk_until_it_is_looked_at(prepared_bf16: Path) -> None:
    transformer = load_components(CheckpointPaths.below(prepared_bf16), "single").transformer
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(prepared_bf16) in line]

    assert transformer.dtype == torch.bfloat16
    assert any("transformer" in line for line in mapped)


def test_where_a_gpu_computes_weights_are_read_into_memory(
    prepared_fp8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = CheckpointPaths.below(prepared_fp8)
    mapped = velocity(load_transformer(paths, "single", LoadOptions()))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    transformer = load_transformer(paths, "single", LoadOptions())

    # Not to the bit: products sum in an order that depends on where a matrix begins in memory.
    torch.testing.assert_close(velocity(transformer), mapped)
    pages = {
        range(*(int(bound, 16) for bound in line.split()[0].split("-")))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if str(prepared_fp8) in line
    }
    assert not any(
        parameter.data_ptr() in page
        for page in pages
        for parameter in transformer.patch_embedding.parameters()
    )


def test_one_and_two_speakers_have_audio_layers_of_their_own(prepared_bf16: Path) -> None:
    paths = CheckpointPaths.below(prepared_bf16)
    single, multi = (load_components(paths, speakers).transformer for speakers in ("single", "multi"))

    assert torch.equal(single.patch_embedding.weight, multi.patch_embedding.weight)
    assert not torch.equal(single.audio_projection.proj1.weight, multi.audio_projection.proj1.weight)


def test_the_text_encoder_embeds_with_the_table_it_was_given(prepared_bf16: Path) -> None:
    text_encoder = load_components(CheckpointPaths.below(prepared_bf16), "single").text_encoder

    assert text_encoder.encoder.embed_tokens.weight is text_encoder.shared.weight


def test_the_audio_layers_may_be_given_as_file_or_folder(tiny_checkpoint: Path) -> None:
    folder = tiny_checkpoint / "InfiniteTalk"
    file = folder / "multi" / "infinitetalk.safetensors"

    assert [find_audio_file(path, "multi") for path in (file, file.parent, folder)] == [file] * 3


def test_a_folder_without_audio_layers_is_an_error(tiny_checkpoint: Path) -> None:
    with pytest.raises(NotAFileError, match="no audio layers for 'single'"):
        find_audio_file(tiny_checkpoint / "lora", "single")


def test_a_folder_without_a_checkpoint_is_an_error(prepared_bf16: Path, tmp_path: Path) -> None:
    paths = CheckpointPaths.below(prepared_bf16)

    with pytest.raises(NotAFileError, match=tmp_path.name):
        load_components(CheckpointPaths(tmp_path, paths.infinitetalk, paths.wav2vec_dir), "single")


def test_a_file_without_audio_layers_is_not_taken_for_them(
    tiny_original: OriginalCheckpoint, tmp_path: Path
) -> None:
    base_only = next(tiny_original.ckpt_dir.glob("*00002-of-00007.safetensors"))
    paths = original_paths(tiny_original)

    with pytest.raises(UnsupportedModelError, match="audio layers"):
        load_components(CheckpointPaths(paths.ckpt_dir, base_only, paths.wav2vec_dir), "single")


def test_a_filesystem_that_does_not_map_files_is_said_to_be_one() -> None:
    # Files of the kernel's own are there, have a size, and cannot be mapped.
    unmappable = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not unmappable.is_file():
        pytest.skip("no file here that cannot be mapped")

    with pytest.raises(MemoryMapRefusedError, match=str(unmappable)), open_weights(unmappable):
        pass


def test_activations_may_be_rounded_to_float8_too(prepared_fp8: Path) -> None:
    paths = CheckpointPaths.below(prepared_fp8)
    options = [LoadOptions(float8_activations=rounded) for rounded in (False, True)]
    exact, rounded = (velocity(load_transformer(paths, "single", option)) for option in options)

    difference = (rounded - exact).norm() / exact.norm()
    assert 0 < difference < 0.1
