"""Models of the published sizes with random weights, made where they compute: nothing is downloaded."""

from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from benchmarks.gpu.setting import Setting
from InfiniteTalk.checkpoints.lora import Lora, LoraLayer, LoraSwitch
from InfiniteTalk.checkpoints.precision import (
    float8_weight,
    is_block_matrix,
    is_kept_in_float32,
    quantize_rows,
)
from InfiniteTalk.sizes import Size
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

PRECISIONS = ("bf16", "fp8", "fp8 activations")
LORA_RANK = 64
SHORT_VAE: dict[str, Any] = {"base_dim": 8, "num_res_blocks": 1}


def transformer(
    setting: Setting, num_layers: int, precision: str = "bf16", device: torch.device | None = None
) -> InfiniteTalkTransformer3DModel:
    """A transformer in one of `PRECISIONS`, on `device` or where the setting computes."""
    with init_empty_weights(include_buffers=False):
        model = InfiniteTalkTransformer3DModel(**setting.transformer_config(num_layers))
    generator = torch.Generator(setting.device).manual_seed(0)
    for name, parameter in list(model.named_parameters()):
        weight = _transformer_weight(name, parameter, setting, precision, generator)
        _assign(model, name, weight.to(device or setting.device))
    _move_buffers(model, device or setting.device)
    return model.eval().requires_grad_(False)


def vae(setting: Setting, dtype: torch.dtype) -> AutoencoderKLWan:
    """Wan's VAE."""
    with init_empty_weights(include_buffers=False):
        model = AutoencoderKLWan(**({} if setting.on_gpu else SHORT_VAE))
    generator = torch.Generator(setting.device).manual_seed(0)
    for name, parameter in list(model.named_parameters()):
        _assign(model, name, _random(name, parameter.shape, generator).to(dtype))
    _move_buffers(model, setting.device)
    return model.eval().requires_grad_(False)


def lora(setting: Setting, model: InfiniteTalkTransformer3DModel) -> LoraSwitch:
    """A LoRA of rank 64 on every linear layer of the base's blocks, switched on."""
    generator = torch.Generator(setting.device).manual_seed(1)

    def matrix(*shape: int) -> torch.Tensor:
        drawn = torch.randn(*shape, generator=generator, device=setting.device)
        return (drawn * 0.01).to(setting.dtype)

    layers = {
        name: LoraLayer(
            down=matrix(LORA_RANK, module.in_features),
            up=matrix(module.out_features, LORA_RANK),
            diff_bias=matrix(module.out_features),
        )
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith("blocks") and ".attn_audio" not in name
    }
    switch = LoraSwitch(model, [Lora("random", layers)], setting.dtype)
    switch.use({"random": 1.0})
    return switch


def inputs(setting: Setting, size: Size, speakers: int = 1) -> dict[str, Any]:
    """Arguments of one forward, for a window of a size."""
    given = setting.transformer_config(1)
    frames, height, width = (setting.num_frames - 1) // 4 + 1, size.height // 8, size.width // 8
    generator = torch.Generator(setting.device).manual_seed(2)

    def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device=setting.device).to(dtype)

    masks = torch.zeros(3, height, width, device=setting.device)
    third = width // 3
    masks[0, :, :third], masks[1, :, -third:], masks[2, :, third:-third] = 1, 1, 1
    blocks, channels = given.get("audio_blocks", 12), given.get("audio_channels", 768)
    return {
        "hidden_states": draw(1, 36, frames, height, width),
        "timestep": torch.tensor([871.5], device=setting.device),
        "encoder_hidden_states": draw(1, 60, given.get("text_dim", 4096), dtype=setting.dtype),
        "encoder_hidden_states_image": draw(1, 257, given.get("image_dim", 1280), dtype=setting.dtype),
        "audio_embeds": draw(speakers, setting.num_frames, 5, blocks, channels),
        "speaker_masks": masks if speakers == 2 else None,
        "return_dict": False,
    }


def _transformer_weight(
    name: str, parameter: torch.Tensor, setting: Setting, precision: str, generator: torch.Generator
) -> torch.Tensor:
    weight = _random(name, parameter.shape, generator)
    if is_kept_in_float32(name, InfiniteTalkTransformer3DModel._keep_in_fp32_modules):
        return weight
    if precision == "bf16" or not is_block_matrix(name, tuple(parameter.shape)):
        return weight.to(setting.dtype)
    rounded, scale = quantize_rows(weight)
    return float8_weight(rounded, scale, setting.dtype, float8_activations=precision == "fp8 activations")


def _random(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Weights that keep the size of what passes: ones for norms, zeros for biases, else by the fan-in."""
    device = generator.device
    if name.endswith("bias"):
        return torch.zeros(shape, device=device)
    if len(shape) == 1 or "norm" in name or name.endswith("gamma"):
        return torch.ones(shape, device=device)
    fan_in = shape[-1] if len(shape) < 4 else shape[1:].numel()
    return torch.randn(shape, generator=generator, device=device) / fan_in**0.5


def _assign(model: torch.nn.Module, name: str, weight: torch.Tensor) -> None:
    module, _, leaf = name.rpartition(".")
    model.get_submodule(module)._parameters[leaf] = torch.nn.Parameter(weight, requires_grad=False)


def _move_buffers(model: torch.nn.Module, device: torch.device) -> None:
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(device)
