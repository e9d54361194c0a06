"""Embeddings of the conditions: time, text, picture and speech."""

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanTimeTextImageEmbedding
from torch import Tensor, nn


class InfiniteTalkConditionEmbedder(WanTimeTextImageEmbedding):
    """Wan's embedding of time, text and image.

    `forward` embeds the time alone, at every step; text and image go through `text_embedder` and
    `image_embedder` when they change.
    """

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Embed timesteps [B] in (0, 1000].

        The sinusoid is computed in float64: float32 loses 5e-5 at large timesteps, which is visible in the
        output.

        Returns:
            The embedding [B, d] for the head and its projection [B, 6, d] for the blocks, both float32.
        """
        half = self.timesteps_proj.num_channels // 2
        exponents = torch.arange(half, device=timestep.device, dtype=torch.float64) / half
        angles = timestep.double()[:, None] * 10000.0**-exponents
        sinusoid = torch.cat((angles.cos(), angles.sin()), dim=-1)
        temb = self.time_embedder(sinusoid.to(self.time_embedder.linear_1.weight.dtype))
        timestep_proj = self.time_proj(self.act_fn(temb).to(self.time_proj.weight.dtype))
        return temb.float(), timestep_proj.float().unflatten(1, (6, -1))


class InfiniteTalkAudioProjection(nn.Module):
    """Windows of speech features around each video frame → audio tokens of each latent frame."""

    def __init__(
        self,
        window: int,
        blocks: int,
        channels: int,
        hidden_dim: int,
        token_dim: int,
        num_tokens: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.num_tokens = num_tokens
        self.proj1 = nn.Linear(window * blocks * channels, hidden_dim)
        self.proj1_latter = nn.Linear((window + stride - 1) * blocks * channels, hidden_dim)
        self.proj2 = nn.Linear(hidden_dim, hidden_dim)
        self.proj3 = nn.Linear(hidden_dim, num_tokens * token_dim)
        self.norm = FP32LayerNorm(token_dim)

    def forward(self, windows: Tensor) -> Tensor:
        """Project windows [P, F, 5, 12, 768] to tokens [T, P * 32, 768], speaker after speaker."""
        first = self.proj1(windows[:, :1].flatten(2))
        latter = self.proj1_latter(self._by_latent_frame(windows[:, 1:]).flatten(2))
        hidden_states = F.relu(self.proj2(F.relu(torch.cat((first, latter), dim=1))))
        tokens = self.norm(self.proj3(hidden_states).unflatten(-1, (self.num_tokens, -1)))
        return tokens.transpose(0, 1).flatten(1, 2)

    def _by_latent_frame(self, windows: Tensor) -> Tensor:
        """Merge the windows of a latent frame's video frames: [P, 4 * (T - 1), 5, ...] → [P, T - 1, 8, ...].

        The frames run on: the first gives its left half, the last its right half, all give their middle.
        """
        groups = windows.unflatten(1, (-1, self.stride))
        middle = windows.shape[2] // 2
        between = groups[:, :, 1:-1, middle]
        return torch.cat((groups[:, :, 0, : middle + 1], between, groups[:, :, -1, middle:]), dim=2)
