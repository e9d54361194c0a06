"""A block: Wan's, with an audio attention between cross-attention and feed-forward."""

from collections.abc import Callable

import torch
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.attention import FeedForward
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor, nn

from InfiniteTalk.compilation import CompiledBlocks
from InfiniteTalk.transformer.attention import (
    InfiniteTalkAudioAttention,
    InfiniteTalkCrossAttnProcessor,
    InfiniteTalkSelfAttnProcessor,
)
from InfiniteTalk.transformer.contexts import BlockContext, KeysValues
from InfiniteTalk.transformer.elementwise import PreciseLayerNorm, add, gated_sum, modulated_layer_norm
from InfiniteTalk.transformer.speakers import SpeakerClasses
from InfiniteTalk.transformer.token_layout import MissingTokens, TokenLayout

# Feed-forward takes so many tokens at a time at most: its inner width is 2.7 times the model's.
FEED_FORWARD_TOKENS = 40_960


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
        modulation = self.scale_shift_table + timestep_proj
        modulation[:, 1::3].add_(1)  # Both scales are kept as differences from 1.
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = modulation.chunk(6, dim=1)

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
