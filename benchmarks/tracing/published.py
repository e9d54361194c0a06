"""The published transformer on the `meta` device, with the number types and the LoRA of a live render."""

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import nn

from gpu_worker.contract.operations import LORA_RANK, VideoSize
from InfiniteTalk.checkpoints.lora import Lora, LoraLayer, LoraSwitch
from InfiniteTalk.checkpoints.precision import float8_weight, is_block_matrix, is_kept_in_float32
from InfiniteTalk.transformer import (
    InfiniteTalkContextCache,
    InfiniteTalkTransformer3DModel,
    SpeakerClasses,
)

META = torch.device("meta")
TEXT_TOKENS_OF_A_PROMPT = 60


class Kind(StrEnum):
    """How the blocks' matrices are kept and multiplied."""

    BF16 = "bf16"
    FP8_WEIGHTS = "fp8 weights"
    FP8_ACTIVATIONS = "fp8 activations"


@dataclass(frozen=True)
class ForwardCase:
    """One kind of forward.

    Attributes:
        speakers: One or two.
        lora: Whether a LoRA of rank 64 is on.
    """

    size: VideoSize
    kind: Kind = Kind.FP8_ACTIVATIONS
    speakers: int = 1
    lora: bool = True


def transformer(kind: Kind, num_layers: int) -> InfiniteTalkTransformer3DModel:
    """The published transformer with so many of its blocks."""
    with META:
        model = InfiniteTalkTransformer3DModel(num_layers=num_layers)
    for name, module in model.named_modules():
        for field, parameter in module.named_parameters(recurse=False):
            value = _weight(f"{name}.{field}" if name else field, tuple(parameter.shape), kind)
            module.register_parameter(field, nn.Parameter(value, requires_grad=False))
    return model.eval()


def _weight(key: str, shape: tuple[int, ...], kind: Kind) -> torch.Tensor:
    if kind is not Kind.BF16 and is_block_matrix(key, shape):
        data = torch.empty(shape, dtype=torch.float8_e4m3fn, device=META)
        scale = torch.empty(shape[0], 1, device=META)
        on_the_fly = kind is Kind.FP8_ACTIVATIONS
        return float8_weight(data, scale, torch.bfloat16, float8_activations=on_the_fly)
    kept = is_kept_in_float32(key, InfiniteTalkTransformer3DModel._keep_in_fp32_modules)
    return torch.empty(shape, dtype=torch.float32 if kept else torch.bfloat16, device=META)


def switch_lora_on(model: InfiniteTalkTransformer3DModel) -> None:
    """Attach a LoRA that changes what the published image-to-video LoRA of rank 64 changes in the blocks."""
    layers = {
        name: layer for name, module in model.blocks.named_modules() if (layer := _change(name, module))
    }
    lora = Lora("lora", {f"blocks.{name}": layer for name, layer in layers.items()})
    LoraSwitch(model, [lora], torch.bfloat16).use({"lora": 1.0})


def _change(name: str, module: nn.Module) -> LoraLayer | None:
    if "audio" in name:
        return None
    if isinstance(module, nn.Linear):
        outputs, inputs = module.out_features, module.in_features
        return LoraLayer(
            down=_bf16(LORA_RANK, inputs), up=_bf16(outputs, LORA_RANK), diff_bias=_bf16(outputs)
        )
    if name.endswith(("norm_q", "norm_k", "norm_added_k")):
        return LoraLayer(diff=_bf16(module.get_parameter("weight").shape[0]))
    if name.endswith("norm2"):
        width = module.get_parameter("weight").shape[0]
        return LoraLayer(diff=_bf16(width), diff_bias=_bf16(width))
    return None


def _bf16(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.bfloat16, device=META)


def forward(
    model: InfiniteTalkTransformer3DModel, size: VideoSize, speakers: int, cache: InfiniteTalkContextCache
) -> torch.Tensor:
    """One pass over a window of this size; velocity [1, 16, T, h, w]."""
    rows, columns = size.height // 8, size.width // 8
    if speakers == 2 and cache.audio.speakers is None:
        # Looking for empty masks needs their values, which nothing has on this device.
        members = _bf16(1, size.tokens_per_frame, 1, model.config.attention_head_dim)
        cache.audio.speakers = SpeakerClasses(members, torch.empty(3, device=META))
    config = model.config
    speech = (speakers, size.num_frames, config.audio_window, config.audio_blocks, config.audio_channels)
    return model(
        hidden_states=torch.empty(1, config.in_channels, size.latent_frames, rows, columns, device=META),
        timestep=torch.empty(1, device=META),
        encoder_hidden_states=_bf16(1, TEXT_TOKENS_OF_A_PROMPT, config.text_dim),
        encoder_hidden_states_image=_bf16(1, 257, config.image_dim),
        audio_embeds=torch.empty(speech, device=META),
        speaker_masks=torch.empty(3, rows, columns, device=META) if speakers == 2 else None,
        context_cache=cache,
        return_dict=False,
    )[0]
