"""Wan's VAE frame by frame and in strips: what diffusers computes, in half the memory.

The convolutions are causal, and each keeps the last two frames that it saw. So frames may come in chunks of
any length with the same result; diffusers hands the four frames of a latent frame through the widest layers
at once. Here every stage works on one frame and hands on what it makes before it takes the next.

What is kept of the last frames is itself large where frames are at full size. So the later stages decode one
strip of the picture after the other. Behind the middle block, whose attention sees the whole frame and which
is computed whole, nothing looks further than its convolutions reach: a strip that brings so many pixels of
its neighbours along comes out as if the picture had been decoded in one piece.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    CACHE_T,
    AutoencoderKLWan,
    WanCausalConv3d,
    WanMidBlock,
    WanResample,
    WanResidualBlock,
    WanRMS_norm,
)
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn

STRIP_PIXELS = 640 * 768
"""The most pixels of a frame that are decoded at once, what a strip brings along not counted."""

PIXELS_PER_FEATURE = 4
"""The side, in pixels of the frame, of what strips are cut from: features at a quarter of its size."""

HALO = 12
"""Features that a strip needs of its neighbours: six convolutions at a quarter of the frame's size, then one
behind the upsampling and six more at half of it, then one, six and the last at its full size: 46 pixels."""


@dataclass(frozen=True)
class Strip:
    """A part of the features along their longer side.

    Attributes:
        start: Its first row or column.
        stop: Behind its last.
        first: The first that it needs.
        last: Behind the last that it needs.
    """

    start: int
    stop: int
    first: int
    last: int


def strips(height: int, width: int, strip_pixels: int = STRIP_PIXELS) -> list[Strip]:
    """The strips in which frames of this size are decoded, in features along the longer side."""
    count = -(-height * width // strip_pixels)
    side = max(height, width) // PIXELS_PER_FEATURE
    bounds = [side * index // count for index in range(count + 1)]
    return [
        Strip(start, stop, max(start - HALO, 0), min(stop + HALO, side)) for start, stop in pairwise(bounds)
    ]


@apply_forward_hook
def decode(vae: AutoencoderKLWan, latents: Tensor, strip_pixels: int = STRIP_PIXELS) -> Tensor:
    """Decode latents [1, 16, T, h, w], in the VAE's number type.

    Args:
        vae: Wan 2.1's VAE.
        latents: Not scaled.
        strip_pixels: The most pixels of a frame to decode at once.

    Returns:
        Frames float32 [1, 3, 4 * (T - 1) + 1, 8 * h, 8 * w], clipped to [-1, 1].
    """
    whole, *stages = _decoder_stages(vae)
    features = torch.cat(list(_flow(vae.post_quant_conv(latents), [_Stage(whole)])), dim=2)
    height, width = 8 * latents.shape[3], 8 * latents.shape[4]
    along = 3 if height >= width else 4
    frames = latents.new_empty(1, 3, 4 * latents.shape[2] - 3, height, width, dtype=torch.float32)
    for strip in strips(height, width, strip_pixels):
        needed = features.narrow(along, strip.first, strip.last - strip.first)
        before = (strip.start - strip.first) * PIXELS_PER_FEATURE
        length = (strip.stop - strip.start) * PIXELS_PER_FEATURE
        part = frames.narrow(along, strip.start * PIXELS_PER_FEATURE, length)
        for index, frame in enumerate(_flow(needed, [_Stage(modules) for modules in stages])):
            part[:, :, index : index + 1] = frame.narrow(along, before, length).clamp(-1, 1)
    return frames


@apply_forward_hook
def encode(vae: AutoencoderKLWan, frames: Tensor) -> Tensor:
    """Encode frames [1, 3, F, H, W] in the VAE's number type, F = 4 * (T - 1) + 1.

    Returns:
        The mean of the latents' distribution, [1, 16, T, H / 8, W / 8], not scaled.
    """
    stages = [(_Stage(modules), at_once) for modules, at_once in _encoder_stages(vae)]
    moments = []
    for chunk in frames.tensor_split(list(range(1, frames.shape[2], 4)), dim=2):
        for stage, at_once in stages:
            chunk = torch.cat([stage(part) for part in chunk.split(at_once, dim=2)], dim=2)
        moments.append(chunk)
    return vae.quant_conv(torch.cat(moments, dim=2)).chunk(2, dim=1)[0]


def _decoder_stages(vae: AutoencoderKLWan) -> list[list[nn.Module]]:
    """What sees the whole frame, up to a quarter of its size; then a stage for each size."""
    decoder = vae.decoder
    first, *others, last = ([*block.resnets, *(block.upsamplers or [])] for block in decoder.up_blocks)
    whole = [decoder.conv_in, *_middle(decoder.mid_block), *first]
    return [whole, *others, [*last, decoder.norm_out, decoder.nonlinearity, decoder.conv_out]]


def _encoder_stages(vae: AutoencoderKLWan) -> list[tuple[list[nn.Module], int]]:
    """A stage for full size, one for half of it and one for the rest, with the frames that each sees at once.

    The first makes one frame of one, the second one of two, and the rest one latent frame of four.
    """
    encoder = vae.encoder
    blocks = list(encoder.down_blocks)
    ends = [index + 1 for index, block in enumerate(blocks) if isinstance(block, WanResample)]
    rest = [*blocks[ends[1] :], *_middle(encoder.mid_block)]
    return [
        ([encoder.conv_in, *blocks[: ends[0]]], 1),
        (blocks[ends[0] : ends[1]], 2),
        ([*rest, encoder.norm_out, encoder.nonlinearity, encoder.conv_out], 4),
    ]


def _middle(block: WanMidBlock) -> list[nn.Module]:
    before, after = block.resnets
    return [before, *block.attentions, after]


class _Stage:
    """Modules of the VAE, with what their convolutions keep of the last frames."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self._last_frames: dict[nn.Module, list[Tensor]] = {}
        self._of_resampling: dict[nn.Module, list[Any]] = {}

    def __call__(self, frames: Tensor) -> Tensor:
        """Frames [1, c, n, h, w] that follow those of the last call."""
        for module in self._modules:
            frames = self._apply(module, frames)
        return frames

    def _apply(self, module: nn.Module, frames: Tensor) -> Tensor:
        if isinstance(module, WanResidualBlock):
            return self._residual(module, frames)
        if isinstance(module, WanCausalConv3d):
            return self._convolve(module, frames)
        if isinstance(module, WanResample):
            return module(frames, feat_cache=self._of_resampling.setdefault(module, [None]), feat_idx=[0])
        return module(frames)

    def _residual(self, block: WanResidualBlock, frames: Tensor) -> Tensor:
        shortcut = block.conv_shortcut(frames)
        for norm, convolution in ((block.norm1, block.conv1), (block.norm2, block.conv2)):
            frames = self._convolve(convolution, F.silu(_normed(norm, frames), inplace=True))
        return frames.add_(shortcut)

    def _convolve(self, convolution: WanCausalConv3d, frames: Tensor) -> Tensor:
        """Convolve frames with the two before them, which are black before the first."""
        last = self._last_frames.get(convolution)
        if last is None:
            last = [torch.zeros_like(frames[:, :, :1])] * CACHE_T
        self._last_frames[convolution] = [*last, *frames.split(1, dim=2)][-CACHE_T:]
        seen = torch.cat([*last, frames], dim=2)
        # The convolution pads as it goes; the layer itself would copy all frames into wider ones first.
        return F.conv3d(seen, convolution.weight, convolution.bias, padding=(0, 1, 1))


def _normed(norm: WanRMS_norm, frames: Tensor) -> Tensor:
    """The norm over channels, computed in float32 and scaled in place: half of the layer's traffic."""
    length = torch.linalg.vector_norm(frames, dim=1, keepdim=True, dtype=torch.float32)
    return (frames / length.clamp_(min=1e-12)).to(frames.dtype).mul_(norm.gamma * norm.scale)


def _flow(frames: Tensor, stages: Sequence[_Stage]) -> Iterator[Tensor]:
    """Frames [1, c, n, h, w] through all stages, one by one: what a stage makes of one goes on at once."""
    stage, *later = stages
    for frame in frames.split(1, dim=2):
        made = stage(frame)
        if later:
            yield from _flow(made, later)
        else:
            yield made
