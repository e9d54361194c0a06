"""Between frames and latents: Wan's VAE with its latents scaled to unit variance, in float32."""

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from InfiniteTalk import wan_vae


def encode_frames(vae: AutoencoderKLWan, frames: torch.Tensor) -> torch.Tensor:
    """Encode frames [1, 3, F, H, W] in [-1, 1] to latents float32 [1, 16, T, h, w], without sampling."""
    latents = wan_vae.encode(vae, frames.to(vae.dtype)).float()
    mean, deviation = _scale(vae, latents)
    return (latents - mean) / deviation


def decode_latents(vae: AutoencoderKLWan, latents: torch.Tensor) -> torch.Tensor:
    """Decode latents [1, 16, T, h, w] to frames float32 [1, 3, F, H, W], clipped to [-1, 1]."""
    mean, deviation = _scale(vae, latents)
    scaled = latents * deviation + mean
    return wan_vae.decode(vae, scaled.to(vae.dtype))


def _scale(vae: AutoencoderKLWan, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (1, -1, 1, 1, 1)
    return (
        latents.new_tensor(vae.config.latents_mean).view(shape),
        latents.new_tensor(vae.config.latents_std).view(shape),
    )
