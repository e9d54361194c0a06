"""InfiniteTalk's transformer: Wan 2.1 image-to-video with an audio attention in every block.

Shapes use: `T` latent frames, `h, w` latent height and width, `S = h/2 * w/2` tokens of a frame, `N = T * S`
tokens (frame-major, then rows, then columns), `n` tokens held by this process (`N` unless context parallelism
splits them), `d` model width, `H` heads of width `D`, `P` speakers, `F = 4 * (T - 1) + 1` video frames.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.loaders import PeftAdapterMixin
from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput
from diffusers.models.attention import AttentionMixin, AttentionModuleMixin, FeedForward
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import (
    WanAttention,
    WanRotaryPosEmbed,
    WanTimeTextImageEmbedding,
    _get_added_kv_projections,
    _get_qkv_projections,
)
from diffusers.utils import apply_lora_scale
from torch import Tensor, nn

from InfiniteTalk.compilation import CompiledBlocks
from InfiniteTalk.projections import project_together

TEXT_TOKENS = 512

# Feed-forward takes so many tokens at a time at most: its inner width is 2.7 times the model's.
FEED_FORWARD_TOKENS = 40_960

# Places on the axis that tells two speakers apart: those a token can take, by whom it listens to, and those
# of the speakers' audio tokens.
SPEAKER_PLACES = (0.0, 20.0)
SPEAKER_PLACES_WIDTH = 4.0
BACKGROUND_PLACE = 12.0
AUDIO_PLACES = (2.0, 22.0)

KeysValues = tuple[Tensor, Tensor]


class EmptySpeakerMaskError(ValueError):
    """A speaker's mask covers no token, so nobody would listen to them."""


# ---- 1. What is computed once and used by many forwards ----------------------------------------------------


class BlockContext:
    """One kind of context as one block sees it: the tokens and, if kept, the keys and values made of them."""

    def __init__(self, tokens: Tensor, keep: bool) -> None:
        self.tokens = tokens
        self.keep = keep
        self.kept: KeysValues | None = None

    def keys_values(self, project: Callable[[Tensor], KeysValues]) -> KeysValues:
        """Project the tokens, or return what an earlier call kept.

        Both are laid out alike in memory whatever they come from: compiled code depends on it.
        """
        if self.kept is not None:
            return self.kept
        key, value = project(self.tokens)
        keys_values = key.contiguous(), value.contiguous()
        if self.keep:
            self.kept = keys_values
        return keys_values


class ProjectedContext:
    """One kind of context (text, image or audio) for all blocks; passes that have it in common share it.

    Attributes:
        blocks: The context as each block sees it; empty until the first forward.
        speakers: Of the audio of two speakers: where they are, looked up once because the GPU is waited for.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the context, because it changes."""
        self.blocks: list[BlockContext] = []
        self.speakers: SpeakerClasses | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens and of the keys and values kept so far."""
        tokens = {id(block.tokens): block.tokens for block in self.blocks}
        kept = [tensor for block in self.blocks for tensor in block.kept or ()]
        return sum(tensor.nbytes for tensor in [*tokens.values(), *kept])


class InfiniteTalkContextCache:
    """Text, image and audio as the blocks use them, so that only the first forward has to project them.

    Hand the same cache to all forwards of one kind of pass. Passes that share a context share the part:
    `InfiniteTalkContextCache(text=cond.text, image=cond.image)` is the cache of a pass with `cond`'s text and
    image and with an audio of its own. Nothing is compared: whoever changes a context clears its part.
    """

    def __init__(
        self,
        text: ProjectedContext | None = None,
        image: ProjectedContext | None = None,
        audio: ProjectedContext | None = None,
    ) -> None:
        self.text = text or ProjectedContext()
        self.image = image or ProjectedContext()
        self.audio = audio or ProjectedContext()

    def clear_audio(self) -> None:
        """Forget the audio, because another window begins."""
        self.audio.clear()

    @property
    def nbytes(self) -> int:
        """Bytes held, shared parts included."""
        return self.text.nbytes + self.image.nbytes + self.audio.nbytes


# ---- 2. Positions ------------------------------------------------------------------------------------------


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


# ---- 3. Two speakers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpeakerClasses:
    """Where the speakers are in the picture, at the tokens of one frame.

    Attributes:
        members: [1, S, 1, D]: column `c` is 1 for the tokens of class `c` (speaker 1, speaker 2, background),
            all others are 0.
        sizes: tokens of each class, [3]; 1 for an empty background, to which no token attends.
    """

    members: Tensor
    sizes: Tensor

    @classmethod
    def from_masks(
        cls, masks: Tensor, token_grid: tuple[int, int], width: int, dtype: torch.dtype
    ) -> "SpeakerClasses":
        """Reduce masks [3, h, w] (speaker 1, speaker 2, background) to the token grid, by nearest neighbour.

        Raises:
            EmptySpeakerMaskError: a speaker has no token.
        """
        classes = F.interpolate(masks[None].float(), size=token_grid, mode="nearest")[0].flatten(1) > 0
        sizes = classes.sum(dim=1)
        for speaker, size in enumerate(sizes[:2].tolist(), start=1):
            if size == 0:
                raise EmptySpeakerMaskError(
                    f"the mask of speaker {speaker} covers no token of the {token_grid} grid"
                )
        members = F.pad(classes.T.to(dtype), (0, width - len(classes)))
        return cls(members[None, :, None], sizes.clamp(min=1).float())


def listening_places(attention: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Place every token on the speakers' axis, by the class that it attends to most.

    Args:
        attention: mean attention of each token to the tokens of each class, [C, n].
        group: the processes among which the tokens are split.

    Returns:
        Places [n]: 0 to 4 for speaker 1, 20 to 24 for speaker 2 (the more attention, the higher), 12 for
        background.
    """
    low, high = attention.amin(dim=1), attention.amax(dim=1)
    if group is not None:
        extremes = torch.stack((-low, high))
        dist.all_reduce(extremes, dist.ReduceOp.MAX, group=group)
        low, high = -extremes[0], extremes[1]
    shares = (attention - low[:, None]) / (high - low + 1e-8)[:, None]
    places = [start + SPEAKER_PLACES_WIDTH * shares[speaker] for speaker, start in enumerate(SPEAKER_PLACES)]
    places.append(torch.full_like(places[0], BACKGROUND_PLACE))
    return torch.stack(places).gather(0, attention.argmax(dim=0, keepdim=True))[0]


def add(hidden_states: Tensor, output: Tensor) -> Tensor:
    """The sum, in the memory of `hidden_states` unless a gradient is wanted."""
    return hidden_states + output if torch.is_grad_enabled() else hidden_states.add_(output)


# ---- 4. Attention ------------------------------------------------------------------------------------------


def _group(parallel_config: Any) -> dist.ProcessGroup | None:
    if parallel_config is None:
        return None
    return parallel_config.context_parallel_config._flattened_mesh.get_group()


class InfiniteTalkSelfAttnProcessor:
    """Full self-attention with rotary positions; with two speakers also finds whom each token listens to."""

    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: None,
        attention_mask: None,
        rotary_emb: Tensor,
        layout: TokenLayout | None,
        speakers: SpeakerClasses | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend among tokens [1, n, d]; with `speakers`, return the tokens' listening places [n] as well."""
        if attn.fused_projections:
            query, key, value = _get_qkv_projections(attn, hidden_states, None)
        else:
            query, key, value = project_together(hidden_states, (attn.to_q, attn.to_k, attn.to_v))
        query = rotate(attn.norm_q(query).unflatten(2, (attn.heads, -1)), rotary_emb)
        key = rotate(attn.norm_k(key).unflatten(2, (attn.heads, -1)), rotary_emb)
        value = value.unflatten(2, (attn.heads, -1))
        output = dispatch_attention_fn(
            query, key, value, backend=self._attention_backend, parallel_config=self._parallel_config
        )
        output = attn.to_out[1](attn.to_out[0](output.flatten(2)))
        if speakers is None:
            return output
        attention = self._attention_to_speakers(query, self._first_frame(key, layout, speakers), speakers)
        return output, listening_places(attention, _group(self._parallel_config))

    def _attention_to_speakers(self, query: Tensor, keys: Tensor, speakers: SpeakerClasses) -> Tensor:
        """Mean attention [C, n] of each token to each class in the first frame, without any [n, S] tensor.

        It is an attention whose values say which class a key belongs to, padded to the width of a head, which
        every kernel accepts.
        """
        values = speakers.members.expand(-1, -1, keys.shape[2], -1)
        shares = dispatch_attention_fn(query, keys, values, backend=self._attention_backend)
        # The published model averages two halves of the heads, so an odd last head has no say.
        voters = shares.shape[2] // 2 * 2 or 1
        shares = shares[0, :, :voters, : speakers.sizes.shape[0]].float().mean(dim=1)
        return (shares / speakers.sizes).T

    def _first_frame(self, key: Tensor, layout: TokenLayout | None, speakers: SpeakerClasses) -> Tensor:
        """Keys [1, S, H, D] of the first latent frame, which other processes may hold in part or whole."""
        if layout is None:
            return key[:, : speakers.members.shape[1]]
        start, size = layout.first_token, layout.tokens_per_frame
        own = key[:, : max(size - start, 0)]
        frame = key.new_zeros(1, size, *key.shape[2:])
        frame[:, start : start + own.shape[1]] = own
        dist.all_reduce(frame, group=_group(self._parallel_config))
        return frame


class InfiniteTalkCrossAttnProcessor:
    """Attention to text and to image: two softmaxes over the same queries, added."""

    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: tuple[KeysValues, KeysValues],
        attention_mask: None = None,
        rotary_emb: None = None,
    ) -> Tensor:
        """Let tokens [1, n, d] attend to the keys and values of (text, image)."""
        text, image = encoder_hidden_states
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        output = dispatch_attention_fn(query, *text, backend=self._attention_backend)
        output = add(output, dispatch_attention_fn(query, *image, backend=self._attention_backend))
        return attn.to_out[1](attn.to_out[0](output.flatten(2)))

    def text_keys_values(self, attn: WanAttention, text: Tensor) -> KeysValues:
        """Project the prompt's tokens [1, 512, d]."""
        if attn.fused_projections:
            key, value = attn.to_kv(text).chunk(2, dim=-1)
        else:
            key, value = attn.to_k(text), attn.to_v(text)
        return attn.norm_k(key).unflatten(2, (attn.heads, -1)), value.unflatten(2, (attn.heads, -1))

    def image_keys_values(self, attn: WanAttention, image: Tensor) -> KeysValues:
        """Project the picture's tokens [1, 257, d]."""
        key, value = _get_added_kv_projections(attn, image)
        return attn.norm_added_k(key).unflatten(2, (attn.heads, -1)), value.unflatten(2, (attn.heads, -1))


class InfiniteTalkAudioAttnProcessor:
    """Attention of each latent frame's tokens to that frame's audio tokens."""

    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: "InfiniteTalkAudioAttention",
        hidden_states: Tensor,
        audio: KeysValues,
        missing: MissingTokens | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Let tokens [1, n, d] attend to keys and values of their frames; `places` [n] with two speakers."""
        query = attn.to_q(hidden_states).unflatten(2, (attn.heads, -1))
        if places is not None:
            query = rotate(query, place_table(places, query.shape[-1]))
        key, value = audio
        query = by_frame(query, key.shape[0], missing)
        output = dispatch_attention_fn(query, key, value, backend=self._attention_backend)
        return attn.to_out(by_token(output, hidden_states.shape[1], missing).flatten(2))

    def keys_values(
        self, attn: "InfiniteTalkAudioAttention", audio: Tensor, two_speakers: bool
    ) -> KeysValues:
        """Project audio tokens [T, P * 32, 768] to keys and values [T, P * 32, H, D]."""
        key, value = attn.to_kv(audio).unflatten(2, (2, attn.heads, -1)).unbind(2)
        if two_speakers:
            places = torch.tensor(AUDIO_PLACES, device=key.device).repeat_interleave(key.shape[1] // 2)
            key = rotate(key, place_table(places, key.shape[-1]))
        return key, value


class InfiniteTalkAudioAttention(nn.Module, AttentionModuleMixin):
    """The attention that InfiniteTalk adds to each block: the video's tokens attend to the audio's."""

    _default_processor_cls = InfiniteTalkAudioAttnProcessor
    _available_processors = [InfiniteTalkAudioAttnProcessor]
    _supports_qkv_fusion = False  # keys and values are one projection already
    processor: Any

    def __init__(self, dim: int, heads: int, audio_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.is_cross_attention = True
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(audio_dim, 2 * dim)
        self.to_out = nn.Linear(dim, dim)
        self.processor = InfiniteTalkAudioAttnProcessor()

    def forward(
        self,
        hidden_states: Tensor,
        audio: KeysValues,
        missing: MissingTokens | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        return self.processor(self, hidden_states, audio, missing, places)


# ---- 5. Embeddings -----------------------------------------------------------------------------------------


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


# ---- 6. Block ----------------------------------------------------------------------------------------------


def _writes_narrow(hidden_states: Tensor) -> bool:
    """Whether a kernel's float32 result is to be rounded as it is written: into an `out`, without gradient.

    Compiled code does so of itself.
    """
    is_wide = hidden_states.dtype == torch.float32
    return not (is_wide or torch.compiler.is_compiling() or torch.is_grad_enabled())


def modulated_layer_norm(hidden_states: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """`LayerNorm(hidden_states) * (1 + scale) + shift`; scale and shift [1, 1, d], float32."""
    return layer_norm(hidden_states, 1 + scale[0, 0], shift[0, 0], eps)


def layer_norm(hidden_states: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm computed in float32, given in the type of `hidden_states`; weight and bias [d], float32."""
    if not _writes_narrow(hidden_states):
        normed = F.layer_norm(hidden_states.float(), weight.shape, weight, bias, eps)
        return normed.type_as(hidden_states)
    # Both kernels convert value by value, so that no float32 copy is held; the first one rounds once more.
    normed = F.layer_norm(hidden_states, weight.shape, eps=eps)
    return torch.addcmul(bias, normed, weight, out=normed)


class PreciseLayerNorm(FP32LayerNorm):
    """Layer norm with float32 weights, without float32 copies of what it norms."""

    def forward(self, inputs: Tensor) -> Tensor:
        return layer_norm(inputs, self.weight.float(), self.bias.float(), self.eps)


def gated_sum(hidden_states: Tensor, output: Tensor, gate: Tensor) -> Tensor:
    """`hidden_states + gate * output`, in float32 because the gate [1, 1, d] is, and rounded once.

    Given the types as they are, a GPU converts value by value and holds no float32 copies of the two.
    """
    if not _writes_narrow(hidden_states):
        return torch.addcmul(hidden_states, output, gate).to(hidden_states.dtype)
    return torch.addcmul(hidden_states, output, gate, out=torch.empty_like(hidden_states))


class InfiniteTalkTransformerBlock(nn.Module):
    """Wan's block with an audio attention, ungated, between cross-attention and feed-forward."""

    def __init__(
        self,
        dim: int,
        ffn_dim: int,
        num_heads: int,
        cross_attn_norm: bool,
        eps: float,
        added_kv_proj_dim: int,
        audio_dim: int,
    ) -> None:
        super().__init__()
        self.eps = eps
        self.compiled: CompiledBlocks | None = None
        head_dim = dim // num_heads

        # 1. Self-attention
        self.attn1 = WanAttention(
            dim,
            num_heads,
            head_dim,
            eps=eps,
            processor=InfiniteTalkSelfAttnProcessor(),
            is_cross_attention=False,
        )

        # 2. Cross-attention
        self.norm2 = PreciseLayerNorm(dim, eps) if cross_attn_norm else nn.Identity()
        self.attn2 = WanAttention(
            dim,
            num_heads,
            head_dim,
            eps=eps,
            added_kv_proj_dim=added_kv_proj_dim,
            cross_attention_dim_head=head_dim,
            processor=InfiniteTalkCrossAttnProcessor(),
            is_cross_attention=True,
        )

        # 3. Audio attention
        self.norm_audio = PreciseLayerNorm(dim, eps)
        self.attn_audio = InfiniteTalkAudioAttention(dim, num_heads, audio_dim)

        # 4. Feed-forward
        self.ffn = FeedForward(dim, inner_dim=ffn_dim, activation_fn="gelu-approximate")

        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(
        self,
        hidden_states: Tensor,
        contexts: tuple[BlockContext, BlockContext, BlockContext],
        timestep_proj: Tensor,
        rotary_emb: Tensor,
        layout: TokenLayout,
        speakers: SpeakerClasses | None = None,
    ) -> Tensor:
        """Transform tokens [1, n, d].

        Args:
            hidden_states: tokens [1, n, d].
            contexts: text, image and audio.
            timestep_proj: [1, 6, d], float32: shift, scale and gate of self-attention and of feed-forward.
            rotary_emb: table [1, n, 1, D/2, 2].
            layout: which tokens these are.
            speakers: where the speakers are, if the audio has two.
        """
        # Contexts are projected here, once for many forwards, so that what is compiled is the same for all.
        keys_values = self._keys_values(contexts, layout, hidden_states.shape[1], speakers is not None)
        missing = layout.missing(hidden_states.shape[1])
        parallel = layout if self.attn1.processor._parallel_config is not None else None
        compute: Callable[..., Tensor] = type(self)._compute
        if self.compiled is not None:
            compute = self.compiled
            mark_sizes(hidden_states, rotary_emb, keys_values, speakers)
        return compute(
            self, hidden_states, keys_values, timestep_proj, rotary_emb, missing, parallel, speakers
        )

    def _keys_values(
        self,
        contexts: tuple[BlockContext, BlockContext, BlockContext],
        layout: TokenLayout,
        num_tokens: int,
        two_speakers: bool,
    ) -> tuple[KeysValues, KeysValues, KeysValues]:
        """The contexts' keys and values, the audio's of the frames held."""
        text, image, audio = contexts
        cross, heard = self.attn2, self.attn_audio
        key, value = audio.keys_values(
            lambda tokens: heard.processor.keys_values(heard, tokens, two_speakers)
        )
        return (
            text.keys_values(lambda tokens: cross.processor.text_keys_values(cross, tokens)),
            image.keys_values(lambda tokens: cross.processor.image_keys_values(cross, tokens)),
            (layout.of_frames(key, num_tokens), layout.of_frames(value, num_tokens)),
        )

    def _compute(
        self,
        hidden_states: Tensor,
        keys_values: tuple[KeysValues, KeysValues, KeysValues],
        timestep_proj: Tensor,
        rotary_emb: Tensor,
        missing: MissingTokens | None,
        parallel: TokenLayout | None,
        speakers: SpeakerClasses | None,
    ) -> Tensor:
        text, image, audio = keys_values
        modulation = (self.scale_shift_table + timestep_proj).chunk(6, dim=1)
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = modulation

        # 1. Self-attention
        norm_hidden_states = modulated_layer_norm(hidden_states, scale, shift, self.eps)
        places = None
        attn_output = self.attn1(
            norm_hidden_states, None, None, rotary_emb, layout=parallel, speakers=speakers
        )
        if speakers is not None:
            attn_output, places = attn_output
        hidden_states = gated_sum(hidden_states, attn_output, gate)
        del norm_hidden_states, attn_output

        # 2. Cross-attention to text and image
        hidden_states = add(hidden_states, self.attn2(self.norm2(hidden_states), (text, image)))

        # 3. Audio attention
        heard = self.attn_audio(self.norm_audio(hidden_states), audio, missing, places)
        hidden_states = add(hidden_states, heard)
        del heard

        # 4. Feed-forward
        norm_hidden_states = modulated_layer_norm(hidden_states, ffn_scale, ffn_shift, self.eps)
        return gated_sum(hidden_states, self._feed_forward(norm_hidden_states), ffn_gate)

    def _feed_forward(self, hidden_states: Tensor) -> Tensor:
        """Feed-forward in chunks of equal size: all tokens at once would need most of the memory."""
        num_tokens = hidden_states.shape[1]
        if torch.compiler.is_compiling() or num_tokens <= FEED_FORWARD_TOKENS:
            return self.ffn(hidden_states)
        output = torch.empty_like(hidden_states)
        num_chunks = -(-num_tokens // FEED_FORWARD_TOKENS)
        for chunk, part in zip(
            hidden_states.chunk(num_chunks, dim=1), output.chunk(num_chunks, dim=1), strict=True
        ):
            part.copy_(self.ffn(chunk))
        return output


def mark_sizes(
    hidden_states: Tensor,
    rotary_emb: Tensor,
    keys_values: tuple[KeysValues, KeysValues, KeysValues],
    speakers: SpeakerClasses | None,
) -> None:
    """Tell the compiler which sizes differ from call to call: those of tokens and of latent frames."""
    dynamic = [(hidden_states, 1), (rotary_emb, 1), *((tensor, 0) for tensor in keys_values[2])]
    if speakers is not None:
        dynamic.append((speakers.members, 1))
    for tensor, dim in dynamic:
        torch._dynamo.mark_dynamic(tensor, dim)


TransformerBlockRegistry.register(
    InfiniteTalkTransformerBlock,
    TransformerBlockMetadata(return_hidden_states_index=0, return_encoder_hidden_states_index=None),
)


# ---- 7. Model ----------------------------------------------------------------------------------------------


class FlattenTokens(nn.Module):
    """[B, d, T, h/2, w/2] → [B, N, d]; a module, so that context parallelism can split its output."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return hidden_states.flatten(2).transpose(1, 2).contiguous()


class InfiniteTalkTransformer3DModel(ModelMixin, ConfigMixin, PeftAdapterMixin, CacheMixin, AttentionMixin):
    """The transformer of InfiniteTalk (one or two speakers), built on that of Wan 2.1 image-to-video.

    The first arguments are those of diffusers' `WanTransformer3DModel`, with the values of the 14B model.

    Args:
        patch_size: latent frames, rows and columns of a token.
        num_attention_heads: heads of every attention.
        attention_head_dim: width of a head.
        in_channels: 16 latents, 4 mask and 16 reference latents.
        out_channels: latents.
        text_dim: width of the text encoder.
        freq_dim: width of the time's sinusoid.
        ffn_dim: width of the feed-forward.
        num_layers: blocks.
        cross_attn_norm: whether cross-attention has a norm with weights.
        qk_norm: kept from Wan's configuration, where it has this one value.
        eps: of all norms of the blocks.
        image_dim: width of the image encoder.
        added_kv_proj_dim: width of the image's tokens.
        rope_max_seq_len: longest side of the token grid.
        audio_window: video frames of speech around each video frame.
        audio_blocks: layers of the speech encoder.
        audio_channels: width of the speech encoder.
        audio_hidden_dim: hidden width of the audio projection.
        audio_token_dim: width of audio tokens.
        audio_tokens: audio tokens of a latent frame and speaker.
        vae_scale_factor_temporal: video frames of a latent frame.
    """

    _skip_layerwise_casting_patterns = ["patch_embedding", "condition_embedder", "audio_projection", "norm"]
    _no_split_modules = ["InfiniteTalkTransformerBlock"]
    _keep_in_fp32_modules = [
        "rope",
        "time_embedder",
        "time_proj",
        "scale_shift_table",
        "norm1",
        "norm2",
        "norm_audio",
        "proj_out",
    ]
    _keys_to_ignore_on_load_unexpected = ["norm_added_q"]
    _repeated_blocks = ["InfiniteTalkTransformerBlock"]
    # Tokens are split once, behind the patch embedding, and gathered behind the head. Nothing is split at a
    # block or a layer with weights, so that hooks there (caches of residuals, LoRAs) see the same tokens
    # going in as coming out.
    _cp_plan = {
        "rope": {
            0: ContextParallelInput(split_dim=1, expected_dims=5, split_output=True),
            1: ContextParallelInput(split_dim=0, expected_dims=1, split_output=True),
        },
        "flatten_tokens": {0: ContextParallelInput(split_dim=1, expected_dims=3, split_output=True)},
        "gather_tokens": ContextParallelOutput(gather_dim=1, expected_dims=3),
    }

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 40,
        attention_head_dim: int = 128,
        in_channels: int = 36,
        out_channels: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 13824,
        num_layers: int = 40,
        cross_attn_norm: bool = True,
        qk_norm: str = "rms_norm_across_heads",
        eps: float = 1e-6,
        image_dim: int = 1280,
        added_kv_proj_dim: int = 5120,
        rope_max_seq_len: int = 1024,
        audio_window: int = 5,
        audio_blocks: int = 12,
        audio_channels: int = 768,
        audio_hidden_dim: int = 512,
        audio_token_dim: int = 768,
        audio_tokens: int = 32,
        vae_scale_factor_temporal: int = 4,
    ) -> None:
        super().__init__()
        dim = num_attention_heads * attention_head_dim

        # 1. Positions and tokens
        self.rope = InfiniteTalkRotaryPosEmbed(attention_head_dim, patch_size, rope_max_seq_len)
        self.patch_embedding = nn.Conv3d(in_channels, dim, kernel_size=patch_size, stride=patch_size)
        self.flatten_tokens = FlattenTokens()

        # 2. Conditions
        self.condition_embedder = InfiniteTalkConditionEmbedder(
            dim=dim,
            time_freq_dim=freq_dim,
            time_proj_dim=dim * 6,
            text_embed_dim=text_dim,
            image_embed_dim=image_dim,
        )
        self.audio_projection = InfiniteTalkAudioProjection(
            window=audio_window,
            blocks=audio_blocks,
            channels=audio_channels,
            hidden_dim=audio_hidden_dim,
            token_dim=audio_token_dim,
            num_tokens=audio_tokens,
            stride=vae_scale_factor_temporal,
        )

        # 3. Blocks
        self.blocks = nn.ModuleList(
            InfiniteTalkTransformerBlock(
                dim, ffn_dim, num_attention_heads, cross_attn_norm, eps, added_kv_proj_dim, audio_token_dim
            )
            for _ in range(num_layers)
        )

        self.compiled: CompiledBlocks | None = None

        # 4. Head
        self.proj_out = nn.Linear(dim, out_channels * math.prod(patch_size))
        self.gather_tokens = nn.Identity()
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    @apply_lora_scale("attention_kwargs")
    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_hidden_states_image: Tensor,
        audio_embeds: Tensor | None,
        speaker_masks: Tensor | None = None,
        context_cache: InfiniteTalkContextCache | None = None,
        attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Predict the velocity (noise - data) of a window's latents.

        Args:
            hidden_states: [1, 36, T, h, w]: 16 latents, 4 mask, 16 reference latents.
            timestep: [1] in (0, 1000].
            encoder_hidden_states: the prompt, [1, up to 512, text_dim], without padding.
            encoder_hidden_states_image: [1, 257, image_dim].
            audio_embeds: windows of speech [P, F, 5, 12, 768], P = 1 or 2. None is null audio, the same as
                zeros of one speaker but with two distinct frames instead of T.
            speaker_masks: [3, h, w]: speaker 1, speaker 2, background. Needed with two speakers, else unused.
            context_cache: keeps what text, image and audio become in the blocks, and with the audio the
                speakers' places; filled by the first forward.
            attention_kwargs: `scale` is the scale of LoRA layers during this call.
            return_dict: whether to return an output object instead of a tuple.

        Returns:
            Velocity [1, 16, T, h, w], float32.

        Raises:
            EmptySpeakerMaskError: a speaker's mask covers no token.
            ValueError: shapes that do not fit each other.
        """
        batch, _, num_frames, height, width = hidden_states.shape
        self._check(batch, num_frames, encoder_hidden_states, audio_embeds, speaker_masks)
        dtype = self.patch_embedding.weight.dtype
        token_grid = (height // self.config.patch_size[1], width // self.config.patch_size[2])
        cache, keep = context_cache or InfiniteTalkContextCache(), context_cache is not None

        # 1. Positions and tokens
        rotary_emb, token_index = self.rope(hidden_states)
        layout = TokenLayout(int(token_index[0]), math.prod(token_grid), num_frames)
        hidden_states = self.flatten_tokens(self.patch_embedding(hidden_states.to(dtype)))

        # 2. Conditions
        temb, timestep_proj = self.condition_embedder(timestep)
        texts = self._contexts(cache.text, keep, lambda: self._text_tokens(encoder_hidden_states.to(dtype)))
        embed_image = self.condition_embedder.image_embedder
        images = self._contexts(cache.image, keep, lambda: embed_image(encoder_hidden_states_image.to(dtype)))
        audios = self._contexts(cache.audio, keep, lambda: self._audio_tokens(audio_embeds, dtype))
        speakers = None
        if audio_embeds is not None and speaker_masks is not None and audio_embeds.shape[0] == 2:
            head_dim = self.config.attention_head_dim
            speakers = cache.audio.speakers or SpeakerClasses.from_masks(
                speaker_masks, token_grid, head_dim, dtype
            )
            cache.audio.speakers = speakers

        # 3. Blocks
        for block, *contexts in zip(self.blocks, texts, images, audios, strict=True):
            hidden_states = block(hidden_states, tuple(contexts), timestep_proj, rotary_emb, layout, speakers)

        # 4. Head
        shift, scale = (self.scale_shift_table + temb[:, None]).chunk(2, dim=1)
        hidden_states = modulated_layer_norm(hidden_states.float(), scale, shift, self.config.eps)
        output = self.gather_tokens(self.proj_out(hidden_states.to(self.proj_out.weight.dtype))).float()
        output = self._unpatchify(output, num_frames, token_grid)

        if not return_dict:
            return (output,)
        return Transformer2DModelOutput(sample=output)

    def compile_repeated_blocks(self, **options: Any) -> None:
        """Compile the blocks; options are those of `torch.compile`.

        One graph serves all blocks, sizes and passes; only two speakers and a LoRA in use have their own.
        """
        self.compiled = CompiledBlocks(InfiniteTalkTransformerBlock._compute, **options)
        for block in self.blocks:
            cast(InfiniteTalkTransformerBlock, block).compiled = self.compiled

    def _check(
        self, batch: int, num_frames: int, text: Tensor, audio: Tensor | None, speaker_masks: Tensor | None
    ) -> None:
        if batch != 1:
            raise ValueError(f"one window at a time, got a batch of {batch}")
        if text.shape[1] > TEXT_TOKENS:
            raise ValueError(f"the prompt has {text.shape[1]} tokens, at most {TEXT_TOKENS} are possible")
        if audio is None:
            return
        video_frames = self.config.vae_scale_factor_temporal * (num_frames - 1) + 1
        if audio.shape[0] not in (1, 2) or audio.shape[1] != video_frames:
            raise ValueError(
                f"audio of 1 or 2 speakers and {video_frames} frames is needed, got {tuple(audio.shape)}"
            )
        if audio.shape[0] == 2 and speaker_masks is None:
            raise ValueError("two speakers need speaker_masks")

    def _contexts(
        self, part: ProjectedContext, keep: bool, project: Callable[[], Tensor]
    ) -> list[BlockContext]:
        """The context of every block, projected if the part is empty."""
        if not part.blocks:
            tokens = project()
            part.blocks = [BlockContext(tokens, keep) for _ in self.blocks]
        return part.blocks

    def _text_tokens(self, text: Tensor) -> Tensor:
        """Embed a prompt; the rows that fill it up to 512 take part in the attention."""
        return self.condition_embedder.text_embedder(F.pad(text, (0, 0, 0, TEXT_TOKENS - text.shape[1])))

    def _audio_tokens(self, windows: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Project windows of speech; null audio as silence of two latent frames."""
        if windows is None:
            config = self.config
            frames = config.vae_scale_factor_temporal + 1
            shape = (1, frames, config.audio_window, config.audio_blocks, config.audio_channels)
            windows = torch.zeros(shape, device=self.audio_projection.norm.weight.device)
        return self.audio_projection(windows.to(dtype))

    def _unpatchify(self, hidden_states: Tensor, num_frames: int, token_grid: tuple[int, int]) -> Tensor:
        """Put tokens [1, N, 64] (pixels outer, channels inner) back into latents [1, 16, T, h, w]."""
        p_t, p_h, p_w = self.config.patch_size
        hidden_states = hidden_states.reshape(1, num_frames // p_t, *token_grid, p_t, p_h, p_w, -1)
        return hidden_states.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
