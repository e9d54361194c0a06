"""The recorded transformer with its weights in our names, and the recorded calls as our arguments."""

from typing import Any

import torch

from InfiniteTalk.checkpoints.key_maps import transformer_key
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

from .recordings import metadata, tensors


def golden_config() -> dict[str, Any]:
    config = metadata("transformer_weights")["config"]
    return {
        "num_attention_heads": config["num_heads"],
        "attention_head_dim": config["dim"] // config["num_heads"],
        "in_channels": config["in_dim"],
        "out_channels": config["out_dim"],
        "text_dim": config["text_dim"],
        "freq_dim": config["freq_dim"],
        "ffn_dim": config["ffn_dim"],
        "num_layers": config["num_layers"],
        "image_dim": config["clip_dim"],
        "added_kv_proj_dim": config["dim"],
        "audio_window": config["audio_window"],
        "audio_blocks": config["audio_blocks"],
        "audio_channels": config["audio_channels"],
        "audio_hidden_dim": config["intermediate_dim"],
        "audio_token_dim": config["output_dim"],
        "audio_tokens": config["context_tokens"],
    }


def golden_model() -> InfiniteTalkTransformer3DModel:
    model = InfiniteTalkTransformer3DModel(**golden_config())
    weights = tensors("transformer_weights")
    model.load_state_dict({transformer_key(name): tensor.clone() for name, tensor in weights.items()})
    return model.requires_grad_(False).eval()


def call(recording: str, index: int, **changes: Any) -> dict[str, Any]:
    """The arguments of the recorded call at timestep number `index`, with changes."""
    recorded = tensors(recording)
    return {
        "hidden_states": torch.cat((recorded["latent"][None], recorded["y"]), dim=1),
        "timestep": recorded["timesteps"][index, None],
        "encoder_hidden_states": recorded["text"][None],
        "encoder_hidden_states_image": recorded["clip"],
        "audio_embeds": recorded["audio"],
        "speaker_masks": recorded["ref_target_masks"],
        **changes,
    }


def predict(
    model: InfiniteTalkTransformer3DModel, recording: str, index: int, **changes: Any
) -> torch.Tensor:
    """Our velocity [16, T, h, w] for a recorded call."""
    return model(**call(recording, index, **changes)).sample[0]
