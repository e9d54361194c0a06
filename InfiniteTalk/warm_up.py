"""Compiles a transformer's blocks before the first job, for every kind of forward that a job may need."""

from collections.abc import Iterator

import torch
from torch import Tensor

from InfiniteTalk.checkpoints.lora import LoraSwitch
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

# Compiled code serves every size, so the smallest that varies will do: 2 latent frames of 4 × 4 tokens.
_LATENT_FRAMES, _SIDE = 2, 8


@torch.no_grad()
def warm_up(
    transformer: InfiniteTalkTransformer3DModel, loras: LoraSwitch, speakers: int, device: torch.device
) -> None:
    """Run one forward of each kind: with and without a LoRA, one speaker or none and, if there are, two.

    Args:
        transformer: With blocks that `compile_repeated_blocks` has prepared.
        loras: Those attached to it; afterwards all are off.
        speakers: How many the loaded audio layers are for.
        device: Where the transformer computes.
    """
    for scales in ({}, *({name: 1.0} for name in loras.names[:1])):
        loras.use(scales)
        for audio in _audios(transformer, speakers, device):
            _forward(transformer, audio, device)
    loras.use({})


def _audios(
    transformer: InfiniteTalkTransformer3DModel, speakers: int, device: torch.device
) -> Iterator[Tensor | None]:
    """No speech, and speech of the speakers [P, F, window, blocks, channels]."""
    config = transformer.config
    frames = config.vae_scale_factor_temporal * (_LATENT_FRAMES - 1) + 1
    shape = (speakers, frames, config.audio_window, config.audio_blocks, config.audio_channels)
    yield None
    yield torch.zeros(shape, device=device)


def _forward(transformer: InfiniteTalkTransformer3DModel, audio: Tensor | None, device: torch.device) -> None:
    config = transformer.config
    masks = torch.zeros(3, _SIDE, _SIDE, device=device)
    masks[0, : _SIDE // 2], masks[1, _SIDE // 2 :] = 1, 1
    transformer(
        hidden_states=torch.zeros(1, config.in_channels, _LATENT_FRAMES, _SIDE, _SIDE, device=device),
        timestep=torch.full((1,), 500.0, device=device),
        encoder_hidden_states=torch.zeros(1, 1, config.text_dim, device=device),
        encoder_hidden_states_image=torch.zeros(1, 257, config.image_dim, device=device),
        audio_embeds=audio,
        speaker_masks=masks,
        return_dict=False,
    )
