"""One LoRA in each key layout in use gives what its merged weights give."""

import copy
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from InfiniteTalk.checkpoints.key_maps import original_transformer_key
from InfiniteTalk.checkpoints.loading import load_transformer
from InfiniteTalk.checkpoints.lora import LoraSwitch
from InfiniteTalk.checkpoints.lora_files import LoraError, read_lora, save_lora
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.precision import is_float8_weight
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel
from tests.infinitetalk.checkpoints.test_lora import velocity, with_whole_weights

RANK = 4
ALPHA = 2.0
LINEARS = ("blocks.0.attn1.to_q", "blocks.1.attn2.add_k_proj", "blocks.0.ffn.net.0.proj", "proj_out")
BIASES = ("blocks.0.attn1.to_q",)
NORMS = ("blocks.1.norm2",)
MODULATED = ("blocks.0", "")


def original(module: str) -> str:
    return original_transformer_key(f"{module}.weight").removesuffix(".weight")


def modulated(module: str) -> str:
    return module or "head"


LAYOUTS: dict[str, tuple[Callable[[str], str], str, str]] = {
    "lightx2v": (lambda name: f"diffusion_model.{name}", "lora_down", "lora_up"),
    "fusionx": (lambda name: f"diffusion_model.{name}", "lora_A", "lora_B"),
    "kohya": (lambda name: f"lora_unet_{name.replace('.', '_')}", "lora_down", "lora_up"),
    "original without prefix": (lambda name: name, "lora_A", "lora_B"),
    "diffusers": (lambda name: f"transformer.{name}", "lora_A", "lora_B"),
    "peft": (lambda name: f"base_model.model.{name}", "lora_A.default", "lora_B.default"),
    "ours without prefix": (lambda name: name, "lora.down", "lora.up"),
}
OUR_NAMES = {"diffusers", "peft", "ours without prefix"}


def random_lora(transformer: nn.Module) -> dict[tuple[str, str], Tensor]:
    """Differences by module and part."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.1

    tensors = {}
    for name in LINEARS:
        outputs, inputs = transformer.get_submodule(name).weight.shape
        tensors[name, "down"], tensors[name, "up"] = random(RANK, inputs), random(outputs, RANK)
        tensors[name, "alpha"] = torch.tensor(ALPHA)
    for name in NORMS:
        tensors[name, "diff"] = random(*transformer.get_submodule(name).weight.shape)
    for name in BIASES:
        tensors[name, "diff_b"] = random(*transformer.get_submodule(name).bias.shape)
    for name in MODULATED:
        tensors[name, "diff_m"] = random(*transformer.get_submodule(name).scale_shift_table.shape)
    return tensors


def write(tensors: dict[tuple[str, str], Tensor], layout: str, path: Path) -> None:
    spell, down, up = LAYOUTS[layout]
    parts = {"down": f"{down}.weight", "up": f"{up}.weight"}

    def key(module: str, part: str) -> str:
        if part == "diff_m":
            return f"{spell(modulated(module))}.diff_m"
        name = module if layout in OUR_NAMES else original(module)
        return f"{spell(name)}.{parts.get(part, part)}"

    save_file({key(*place): tensor for place, tensor in tensors.items()}, path)


@torch.no_grad()
def merged_by_hand(
    transformer: InfiniteTalkTransformer3DModel, tensors: dict[tuple[str, str], Tensor], scale: float
) -> Tensor:
    merged = with_whole_weights(copy.deepcopy(transformer))
    for (name, part), tensor in tensors.items():
        module = merged.get_submodule(name)
        if part == "down":
            module.weight += scale * ALPHA / RANK * (tensors[name, "up"] @ tensor)
        elif part == "diff":
            module.weight += scale * tensor
        elif part == "diff_b":
            module.bias += scale * tensor
        elif part == "diff_m":
            module.scale_shift_table += scale * tensor
    return velocity(merged)


@pytest.fixture(params=[False, True], ids=["float32", "fp8"])
def transformer(prepared_bf16: Path, request: pytest.FixtureRequest) -> InfiniteTalkTransformer3DModel:
    options = LoadOptions(torch_dtype=torch.float32, quantize=request.param)
    return load_transformer(CheckpointPaths.below(prepared_bf16), "single", options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_gives_what_the_merged_weights_give(
    transformer: InfiniteTalkTransformer3DModel, layout: str, tmp_path: Path
) -> None:
    tensors, file = random_lora(transformer), tmp_path / "a.safetensors"
    write(tensors, layout, file)
    lora, before = read_lora(file), velocity(transformer)
    expected = merged_by_hand(transformer, tensors, 0.8)
    switch = LoraSwitch(transformer, [lora], dtype=torch.float32)

    switch.use({"a": 0.8})

    assert not lora.unused
    assert (velocity(transformer) - expected).abs().max() < 1e-4
    assert (expected - before).abs().max() > 0.05
    switch.use({})
    assert torch.equal(velocity(transformer), before)


def test_the_modulation_of_each_place_changes_the_output(
    transformer: InfiniteTalkTransformer3DModel, tmp_path: Path
) -> None:
    all_tensors = random_lora(transformer)
    for name in MODULATED:
        tensors = {(name, "diff_m"): all_tensors[name, "diff_m"]}
        write(tensors, "lightx2v", tmp_path / "m.safetensors")
        changed = copy.deepcopy(transformer)
        lora = read_lora(tmp_path / "m.safetensors")
        LoraSwitch(changed, [lora], torch.float32).use({lora.name: 1.0})
        assert (velocity(changed) - merged_by_hand(transformer, tensors, 1.0)).abs().max() < 1e-5
        assert not torch.equal(velocity(changed), velocity(transformer))


def test_a_saved_lora_keeps_its_modulations(
    transformer: InfiniteTalkTransformer3DModel, tmp_path: Path
) -> None:
    write(random_lora(transformer), "kohya", tmp_path / "a.safetensors")
    lora = read_lora(tmp_path / "a.safetensors")
    save_lora(lora, tmp_path / "b.safetensors")
    saved = read_lora(tmp_path / "b.safetensors")
    assert saved.layers.keys() == lora.layers.keys()
    assert all(saved.layers[name].diff_modulation is not None for name in MODULATED)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("dora_scale", "DoRA"),
        ("lora_magnitude_vector.default.weight", "DoRA"),
        ("lora_mid.weight", "Tucker"),
        ("lora_B.bias", "bias inside"),
    ],
)
def test_what_would_be_applied_by_half_is_refused(tmp_path: Path, key: str, reason: str) -> None:
    module = "diffusion_model.blocks.0.self_attn.q"
    tensors = {f"{module}.lora_A.weight": torch.ones(4, 64), f"{module}.lora_B.weight": torch.ones(64, 4)}
    save_file(tensors | {f"{module}.{key}": torch.ones(64, 1)}, tmp_path / "a.safetensors")
    with pytest.raises(LoraError, match=reason):
        read_lora(tmp_path / "a.safetensors")


def test_keys_that_are_not_used_have_the_true_reason(
    transformer: InfiniteTalkTransformer3DModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {
        "diffusion_model.blocks.0.self_attn.o.diff_b": None,
        "diffusion_model.vace.0.diff": "this transformer has no such layer",
        "diffusion_model.blocks.0.self_attn.q.extra.diff": "this transformer has no such layer",
        "lora_te1_text_model_0.lora_down.weight": "for a text encoder",
        "diffusion_model.blocks.0.self_attn.q.hada_w1_a": "no part of a LoRA",
    }
    bias = transformer.blocks[0].attn1.to_out[0].bias
    tensors = {key: torch.ones(bias.shape) for key in keys}
    tensors["diffusion_model.blocks.99.self_attn.q.diff_b"] = torch.ones(bias.shape)
    tensors["diffusion_model.blocks.1.self_attn.q.diff_b"] = torch.ones(3)
    save_file(tensors, tmp_path / "a.safetensors")

    with caplog.at_level(logging.WARNING):
        lora = read_lora(tmp_path / "a.safetensors")
        LoraSwitch(transformer, [lora], dtype=torch.float32)

    assert lora.unused == {key: reason for key, reason in keys.items() if reason}
    assert "this transformer has no such layer, not used: blocks.99.attn1.to_q" in caplog.text
    assert "of another shape here, not used: blocks.1.attn1.to_q" in caplog.text


def test_float8_weights_stay_float8_beside_a_lora(
    transformer: InfiniteTalkTransformer3DModel, tmp_path: Path
) -> None:
    was_float8 = is_float8_weight(transformer.blocks[0].attn1.to_q.weight)
    write(random_lora(transformer), "peft", tmp_path / "a.safetensors")
    LoraSwitch(transformer, [read_lora(tmp_path / "a.safetensors")], dtype=torch.float32).use({"a": 1.0})
    assert is_float8_weight(transformer.blocks[0].attn1.to_q.weight) == was_float8
