"""The three attentions of a block: of the video to itself, to text and picture, and to speech."""

from typing import Any

import torch
import torch.distributed as dist
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import (
    WanAttention,
    _get_added_kv_projections,
    _get_qkv_projections,
)
from torch import Tensor, nn

from InfiniteTalk.projections import project_together
from InfiniteTalk.transformer.contexts import KeysValues
from InfiniteTalk.transformer.elementwise import add
from InfiniteTalk.transformer.positions import place_table, rotate
from InfiniteTalk.transformer.speakers import AUDIO_PLACES, SpeakerClasses, listening_places
from InfiniteTalk.transformer.token_layout import MissingTokens, TokenLayout, by_frame, by_token


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
