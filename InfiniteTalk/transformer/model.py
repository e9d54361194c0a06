"""The model: tokens and conditions in, blocks, velocity out."""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput
from diffusers.models.attention import AttentionMixin
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import apply_lora_scale
from torch import Tensor, nn

from InfiniteTalk.compilation import CompiledBlocks
from InfiniteTalk.transformer.block import InfiniteTalkTransformerBlock
from InfiniteTalk.transformer.contexts import BlockContext, InfiniteTalkContextCache, ProjectedContext
from InfiniteTalk.transformer.elementwise import modulated_layer_norm
from InfiniteTalk.transformer.embeddings import InfiniteTalkAudioProjection, InfiniteTalkConditionEmbedder
from InfiniteTalk.transformer.positions import InfiniteTalkRotaryPosEmbed
from InfiniteTalk.transformer.speakers import SpeakerClasses
from InfiniteTalk.transformer.token_layout import TokenLayout

TEXT_TOKENS = 512


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
        hidden_states = modulated_layer_norm(hidden_states.float(), 1 + scale, shift, self.config.eps)
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
