"""Rotary positions: of tokens in the video, and of speakers on an axis of their own."""

import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from torch import Tensor


class InfiniteTalkRotaryPosEmbed(WanRotaryPosEmbed):
    """Wan's rotary embedding, its table built once per grid.

    Returns the table [1, N, 1, D/2, 2] (cosine and sine of every pair of channels; computed in float64, kept
    in float32) and the index of every token [N], on the CPU. Context parallelism splits both, so that each
    process reads from the latter where its tokens begin.
    """

    def __init__(self, attention_head_dim: int, patch_size: tuple[int, ...], max_seq_len: int) -> None:
        super().__init__(attention_head_dim, patch_size, max_seq_len)
        self._grid: tuple[torch.Size, torch.device] | None = None
        self._table: tuple[Tensor, Tensor]

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        grid = (hidden_states.shape[2:], hidden_states.device)
        if grid != self._grid:
            cos, sin = super().forward(hidden_states)
            table = torch.stack((cos[..., ::2], sin[..., ::2]), dim=-1).float()
            self._grid, self._table = grid, (table, torch.arange(table.shape[1]))
        return self._table


def rotate(hidden_states: Tensor, table: Tensor) -> Tensor:
    """Turn adjacent pairs of channels by the table's angles.

    Args:
        hidden_states: [..., D].
        table: cosine and sine [..., D/2, 2], float32, broadcast against the pairs of `hidden_states`.
    """
    pairs = hidden_states.float().unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():  # which fuses real arithmetic and has no code for complex numbers
        (x, y), (cos, sin) = pairs.unbind(-1), table.unbind(-1)
        turned = torch.stack((x * cos - y * sin, x * sin + y * cos), dim=-1)
    else:  # one pass over memory instead of eight, in place if the pairs are a copy
        numbers = torch.view_as_complex(pairs)
        is_copy = hidden_states.dtype != torch.float32 and not torch.is_grad_enabled()
        multiply = numbers.mul_ if is_copy else numbers.mul
        turned = torch.view_as_real(multiply(torch.view_as_complex(table)))
    return turned.flatten(-2).type_as(hidden_states)


def place_table(places: Tensor, head_dim: int) -> Tensor:
    """The rotary table [n, 1, D/2, 2] of places [n] on the speakers' axis."""
    exponents = torch.arange(0, head_dim, 2, device=places.device, dtype=torch.float32) / head_dim
    angles = places.float()[:, None, None] * 10000.0**-exponents
    return torch.stack((angles.cos(), angles.sin()), dim=-1)
