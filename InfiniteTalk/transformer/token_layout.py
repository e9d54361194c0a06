"""Tokens by frame and by process: which ones this process holds, and which its frames lack."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


@dataclass(frozen=True)
class TokenLayout:
    """Which of the video's tokens this process holds: a run of them that may begin and end inside a frame."""

    first_token: int
    tokens_per_frame: int
    num_frames: int

    def missing(self, num_tokens: int) -> "MissingTokens | None":
        """What the first and last of the frames held lack, or None if all are held whole."""
        before = self.first_token % self.tokens_per_frame
        after = -(before + num_tokens) % self.tokens_per_frame
        return MissingTokens(before, after) if before or after else None

    def of_frames(self, audio: Tensor, num_tokens: int) -> Tensor:
        """What belongs to the frames held [frames, ...], from audio [T, ...] or null audio [2, ...].

        Null audio has but two distinct frames: the first, and the one that all others share.
        """
        first = self.first_token // self.tokens_per_frame
        last = -(-(self.first_token + num_tokens) // self.tokens_per_frame)
        if audio.shape[0] == self.num_frames:
            return audio[first:last]
        return audio[torch.arange(first, last, device=audio.device).clamp(max=audio.shape[0] - 1)]


@dataclass(frozen=True)
class MissingTokens:
    """Tokens that the first and the last frame lack, because another process holds them."""

    before: int
    after: int


def by_frame(hidden_states: Tensor, num_frames: int, missing: MissingTokens | None) -> Tensor:
    """Group tokens [1, n, H, D] by latent frame [frames, S, H, D]; missing ones are zeros.

    Of whole frames only the shapes are used, never the sizes as numbers: compiled code serves every size.
    """
    if missing is not None:
        hidden_states = F.pad(hidden_states, (0, 0, 0, 0, missing.before, missing.after))
    return hidden_states.unflatten(1, (num_frames, -1))[0]


def by_token(hidden_states: Tensor, num_tokens: int, missing: MissingTokens | None) -> Tensor:
    """Undo `by_frame`: [frames, S, H, D] → [1, n, H, D]."""
    tokens = hidden_states.flatten(0, 1)[None]
    return tokens if missing is None else tokens[:, missing.before : missing.before + num_tokens]
