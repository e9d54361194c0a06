import copy
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from InfiniteTalk.checkpoints.key_maps import UnknownKeyError, original_transformer_key
from InfiniteTalk.checkpoints.loading import load_transformer
from InfiniteTalk.checkpoints.lora import LoraSwitch
from InfiniteTalk.checkpoints.lora_files import LoraError, read_lora, save_lora
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.precision import is_float8_weight
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel
from tests.infinitetalk.conftest import FUSIONX, LIGHTX2V

FLOAT32 = LoadOptions(torch_dtype=torch.float32)


@pytest.fixture
def transformer(prepared_bf16: Path) -> InfiniteTalkTransformer3DModel:
    return load_transformer(CheckpointPaths.below(prepared_bf16), "single", FLOAT32)


@pytest.fixture
def lora_files(tiny_checkpoint: Path) -> dict[str, Path]:
    return {name: tiny_checkpoint / "lora" / f"{name}.safetensors" for name in (LIGHTX2V, FUSIONX)}


def switch_for(transformer: InfiniteTalkTransformer3DModel, *files: Path) -> LoraSwitch:
    return LoraSwitch(transformer, [read_lora(file) for file in files], dtype=torch.float32)


@torch.no_grad()
def velocity(transformer: InfiniteTalkTransformer3DModel) -> Tensor:
    config = transformer.config
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return transformer(
        hidden_states=random(1, 36, 2, 4, 4),
        timestep=torch.tensor([700.0]),
        encoder_hidden_states=random(1, 6, config.text_dim),
        encoder_hidden_states_image=random(1, 257, config.image_dim),
        audio_embeds=random(1, 5, 5, config.audio_blocks, config.audio_channels),
        return_dict=False,
    )[0]


def original_name(module: str) -> str:
    try:
        return original_transformer_key(module)
    except UnknownKeyError:
        return ""


@torch.no_grad()
def merged_by_hand(transformer: InfiniteTalkTransformer3DModel, file: Path, scale: float) -> Tensor:
    """The reference's rule (`W += scale * up @ down`, `diff`, `diff_b`), with alpha / rank as trained."""
    tensors = load_file(file)
    merged = copy.deepcopy(transformer)
    for name, module in merged.named_modules():
        original = f"diffusion_model.{original_name(name)}"
        if f"{original}.lora_down.weight" in tensors:
            down, up = tensors[f"{original}.lora_down.weight"], tensors[f"{original}.lora_up.weight"]
            gain = tensors[f"{original}.alpha"].item() / down.shape[0]
            module.weight += scale * gain * (up.float() @ down.float())
        if f"{original}.diff" in tensors:
            module.weight += scale * tensors[f"{original}.diff"].float()
        if f"{original}.diff_b" in tensors:
            module.bias += scale * tensors[f"{original}.diff_b"].float()
    return velocity(merged)


def test_a_lora_changes_the_output_as_if_it_were_in_the_weights(
    transformer: InfiniteTalkTransformer3DModel, lora_files: dict[str, Path]
) -> None:
    switch = switch_for(transformer, lora_files[LIGHTX2V])
    expected = merged_by_hand(transformer, lora_files[LIGHTX2V], 0.8)
    without = velocity(transformer)

    switch.use({LIGHTX2V: 0.8})
    assert (velocity(transformer) - expected).abs().max() < 1e-5
    assert (expected - without).abs().max() > 0.1


def test_a_lora_that_is_switched_off_leaves_no_trace(
    transformer: InfiniteTalkTransformer3DModel, lora_files: dict[str, Path]
) -> None:
    before = velocity(transformer)
    switch = switch_for(transformer, *lora_files.values())

    attached = velocity(transformer)
    switch.use({LIGHTX2V: 1.0, FUSIONX: 0.5})
    switch.use({})

    assert torch.equal(attached, before)
    assert torch.equal(velocity(transformer), before)


def test_blocks_that_were_compiled_before_follow_the_switch(
    transformer: InfiniteTalkTransformer3DModel, lora_files: dict[str, Path]
) -> None:
    switch = switch_for(transformer, lora_files[LIGHTX2V])
    in_turn = [{}, {LIGHTX2V: 0.5}, {}]
    expected = []
    for scales in in_turn:
        switch.use(scales)
        expected.append(velocity(transformer))

    torch._dynamo.reset()
    transformer.compile_repeated_blocks(fullgraph=True, backend="eager")
    for scales, uncompiled in zip(in_turn, expected, strict=True):
        switch.use(scales)
        assert (velocity(transformer) - uncompiled).abs().max() < 1e-5


def test_two_files_whose_names_start_alike_are_two(
    transformer: InfiniteTalkTransformer3DModel, lora_files: dict[str, Path], tmp_path: Path
) -> None:
    first, second = tmp_path / "Wan2.1_a.safetensors", tmp_path / "Wan2.1_b.safetensors"
    first.write_bytes(lora_files[LIGHTX2V].read_bytes())
    second.write_bytes(lora_files[FUSIONX].read_bytes())
    switch = switch_for(transformer, first, second)

    assert switch.names == ("Wan2.1_a", "Wan2.1_b")
    outputs = []
    for name in switch.names:
        switch.use({name: 1.0})
        outputs.append(velocity(transformer))
    assert (outputs[0] - outputs[1]).abs().max() > 0.1


def test_two_files_of_one_name_are_refused(
    transformer: InfiniteTalkTransformer3DModel, lora_files: dict[str, Path]
) -> None:
    with pytest.raises(LoraError, match="two LoRAs have the name"):
        switch_for(transformer, lora_files[LIGHTX2V], lora_files[LIGHTX2V])


def test_an_unknown_lora_is_not_ignored(
    transformer: InfiniteTalkTransformer3DModel, lora_files: dict[str, Path]
) -> None:
    with pytest.raises(LoraError, match="no LoRA lightx3v here"):
        switch_for(transformer, lora_files[LIGHTX2V]).use({"lightx3v": 1.0})


def with_whole_weights(transformer: InfiniteTalkTransformer3DModel) -> InfiniteTalkTransformer3DModel:
    for module in transformer.modules():
        if is_float8_weight(getattr(module, "weight", None)):
            module.weight = torch.nn.Parameter(module.weight.dequantize(), requires_grad=False)
    return transformer


@pytest.mark.parametrize("float8_stored", [True, False])
def test_float8_weights_take_a_lora_as_others_do(
    prepared_bf16: Path, prepared_fp8: Path, lora_files: dict[str, Path], float8_stored: bool
) -> None:
    paths = CheckpointPaths.below(prepared_fp8 if float8_stored else prepared_bf16)
    options = LoadOptions(torch_dtype=torch.float32, quantize=not float8_stored)
    rounded, whole = (load_transformer(paths, "single", options) for _ in range(2))
    expected = merged_by_hand(with_whole_weights(whole), lora_files[LIGHTX2V], 0.8)

    switch_for(rounded, lora_files[LIGHTX2V]).use({LIGHTX2V: 0.8})

    assert is_float8_weight(rounded.blocks[0].attn1.to_q.weight)
    assert (velocity(rounded) - expected).abs().max() < 1e-5
    assert (expected - velocity(whole)).abs().max() > 0.1


def test_the_prepared_file_is_the_same_lora(
    transformer: InfiniteTalkTransformer3DModel, lora_files: dict[str, Path], tmp_path: Path
) -> None:
    outputs = []
    save_lora(read_lora(lora_files[LIGHTX2V]), tmp_path / "saved.safetensors")
    for file in (lora_files[LIGHTX2V], tmp_path / "saved.safetensors"):
        switch = switch_for(transformer, file)
        switch.use(dict.fromkeys(switch.names, 1.0))
        outputs.append(velocity(transformer))
        switch.use({})

    assert torch.equal(*outputs)


def test_keys_that_are_not_used_are_named(
    transformer: InfiniteTalkTransformer3DModel,
    lora_files: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tensors = load_file(lora_files[FUSIONX])
    tensors["diffusion_model.vace.0.lora_A.weight"] = torch.ones(4, 64)
    tensors["diffusion_model.blocks.0.norm3.diff"] = torch.ones(3)
    save_file(tensors, tmp_path / "odd.safetensors")

    with caplog.at_level(logging.WARNING):
        switch_for(transformer, tmp_path / "odd.safetensors")

    assert "diffusion_model.vace.0.lora_A.weight" in caplog.text
    assert "blocks.0.norm2" in caplog.text


def test_a_lora_of_which_nothing_fits_is_refused(
    transformer: InfiniteTalkTransformer3DModel, tmp_path: Path
) -> None:
    save_file({"diffusion_model.blocks.0.ffn.0.diff_b": torch.ones(13824)}, tmp_path / "large.safetensors")
    save_file({"text_model.encoder.weight": torch.ones(2)}, tmp_path / "other.safetensors")

    with pytest.raises(LoraError, match="of another size"):
        switch_for(transformer, tmp_path / "large.safetensors")
    with pytest.raises(LoraError, match="changes nothing"):
        read_lora(tmp_path / "other.safetensors")


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    save_file(
        {"diffusion_model.blocks.0.ffn.0.lora_down.weight": torch.ones(4, 64)}, tmp_path / "a.safetensors"
    )

    with pytest.raises(LoraError, match=r"only one of the two matrices for blocks\.0\.ffn\.net\.0\.proj"):
        read_lora(tmp_path / "a.safetensors")


def test_a_convolution_takes_a_lora(transformer: InfiniteTalkTransformer3DModel, tmp_path: Path) -> None:
    down, up = torch.randn(4, 36, 1, 2, 2), torch.randn(64, 4, 1, 1, 1)
    keys = {"lora_down": down, "lora_up": up}
    save_file(
        {f"diffusion_model.patch_embedding.{key}.weight": tensor for key, tensor in keys.items()},
        tmp_path / "patch.safetensors",
    )
    expected = copy.deepcopy(transformer)
    product = (up.flatten(1) @ down.flatten(1)).reshape(64, 36, 1, 2, 2)
    expected.patch_embedding.weight.data += product

    switch_for(transformer, tmp_path / "patch.safetensors").use({"patch": 1.0})
    assert (velocity(transformer) - velocity(expected)).abs().max() < 1e-4
