"""Names of the weights around the transformer: original VAE, T5, CLIP, wav2vec 2.0 → the libraries'.

The transformer's own names are in `key_maps`. Here a source tensor may be dropped on purpose (the text half
of CLIP), or split by rows into several (its fused q, k and v). Pure functions of names: no file is opened.
"""

import re
from dataclasses import dataclass

from InfiniteTalk.checkpoints.key_maps import UnknownKeyError


@dataclass(frozen=True)
class Placement:
    """Where a source tensor goes.

    Attributes:
        targets: Names of the result. Several share the tensor's rows in equal parts; none drops it.
        squeeze: Whether leading dimensions of size one are dropped.
    """

    targets: tuple[str, ...]
    squeeze: bool = False


@dataclass(frozen=True)
class Rule:
    """One way of renaming: a pattern for the whole original key, and what it becomes."""

    pattern: re.Pattern[str]
    placement: Placement


@dataclass(frozen=True)
class KeyMap:
    """All rules of one component; the first that matches decides."""

    rules: tuple[Rule, ...]

    def place(self, key: str) -> Placement:
        """Says where the tensor `key` goes.

        Raises:
            UnknownKeyError: No rule knows the key.
        """
        for rule in self.rules:
            match = rule.pattern.fullmatch(key)
            if match:
                targets = tuple(match.expand(target) for target in rule.placement.targets)
                return Placement(targets, rule.placement.squeeze)
        raise UnknownKeyError(key)


def _rule(pattern: str, *targets: str, squeeze: bool = False) -> Rule:
    return Rule(re.compile(pattern), Placement(targets, squeeze))


_PARAMETER = r"(?P<parameter>weight|bias)"

T5_KEYS = KeyMap(
    (
        _rule(r"token_embedding\.weight", "shared.weight"),
        _rule(r"norm\.weight", "encoder.final_layer_norm.weight"),
        _rule(r"blocks\.(\d+)\.norm1\.weight", r"encoder.block.\1.layer.0.layer_norm.weight"),
        _rule(r"blocks\.(\d+)\.attn\.([qkvo])\.weight", r"encoder.block.\1.layer.0.SelfAttention.\2.weight"),
        _rule(
            r"blocks\.(\d+)\.pos_embedding\.embedding\.weight",
            r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias.weight",
        ),
        _rule(r"blocks\.(\d+)\.norm2\.weight", r"encoder.block.\1.layer.1.layer_norm.weight"),
        _rule(r"blocks\.(\d+)\.ffn\.gate\.0\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wi_0.weight"),
        _rule(r"blocks\.(\d+)\.ffn\.fc1\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wi_1.weight"),
        _rule(r"blocks\.(\d+)\.ffn\.fc2\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wo.weight"),
    )
)


def clip_keys(num_layers: int) -> KeyMap:
    """The map of a CLIP file whose visual half has `num_layers` blocks.

    The transformer is shown the output of the last block but one, so the last block is dropped.
    """
    return KeyMap(
        (
            _rule(r"textual\..+|log_scale|visual\.head"),
            _rule(rf"visual\.transformer\.{num_layers - 1}\..+"),
            _rule(r"visual\.cls_embedding", "embeddings.class_embedding", squeeze=True),
            _rule(r"visual\.pos_embedding", "embeddings.position_embedding.weight", squeeze=True),
            _rule(r"visual\.patch_embedding\.weight", "embeddings.patch_embedding.weight"),
            # "layrnorm" is how transformers spells it.
            _rule(rf"visual\.pre_norm\.{_PARAMETER}", r"pre_layrnorm.\g<parameter>"),
            _rule(rf"visual\.post_norm\.{_PARAMETER}", r"post_layernorm.\g<parameter>"),
            *(
                _rule(
                    rf"visual\.transformer\.(\d+)\.{original}\.{_PARAMETER}",
                    *(rf"encoder.layers.\1.{target}.\g<parameter>" for target in targets),
                )
                for original, targets in _CLIP_BLOCK
            ),
        )
    )


_CLIP_BLOCK = (
    (r"norm1", ("layer_norm1",)),
    (r"norm2", ("layer_norm2",)),
    (r"attn\.to_qkv", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
    (r"attn\.proj", ("self_attn.out_proj",)),
    (r"mlp\.0", ("mlp.fc1",)),
    (r"mlp\.2", ("mlp.fc2",)),
)

_VAE_LEAVES = (
    (r"residual\.0\.gamma", "norm1.gamma"),
    (rf"residual\.2\.{_PARAMETER}", r"conv1.\g<parameter>"),
    (r"residual\.3\.gamma", "norm2.gamma"),
    (rf"residual\.6\.{_PARAMETER}", r"conv2.\g<parameter>"),
    (rf"shortcut\.{_PARAMETER}", r"conv_shortcut.\g<parameter>"),
    (rf"resample\.1\.{_PARAMETER}", r"resample.1.\g<parameter>"),
    (rf"time_conv\.{_PARAMETER}", r"time_conv.\g<parameter>"),
)

# The original decoder is one list of 15: three residual blocks a level, an up-sampler between levels.
_VAE_DECODER_BLOCKS = tuple(
    (rf"decoder\.upsamples\.{4 * level + place}", f"decoder.up_blocks.{level}.{name}")
    for level in range(4)
    for place, name in enumerate(("resnets.0", "resnets.1", "resnets.2", "upsamplers.0"))
    if (level, place) != (3, 3)
)

_VAE_BLOCKS = (
    (r"encoder\.downsamples\.(\d+)", r"encoder.down_blocks.\1"),
    (r"(encoder|decoder)\.middle\.0", r"\1.mid_block.resnets.0"),
    (r"(encoder|decoder)\.middle\.2", r"\1.mid_block.resnets.1"),
    *_VAE_DECODER_BLOCKS,
)

VAE_KEYS = KeyMap(
    (
        _rule(rf"conv1\.{_PARAMETER}", r"quant_conv.\g<parameter>"),
        _rule(rf"conv2\.{_PARAMETER}", r"post_quant_conv.\g<parameter>"),
        _rule(rf"(encoder|decoder)\.conv1\.{_PARAMETER}", r"\1.conv_in.\g<parameter>"),
        _rule(r"(encoder|decoder)\.head\.0\.gamma", r"\1.norm_out.gamma"),
        _rule(rf"(encoder|decoder)\.head\.2\.{_PARAMETER}", r"\1.conv_out.\g<parameter>"),
        _rule(r"(encoder|decoder)\.middle\.1\.norm\.gamma", r"\1.mid_block.attentions.0.norm.gamma"),
        _rule(
            rf"(encoder|decoder)\.middle\.1\.(to_qkv|proj)\.{_PARAMETER}",
            r"\1.mid_block.attentions.0.\2.\g<parameter>",
        ),
        *(
            _rule(rf"{block}\.{leaf}", f"{block_target}.{leaf_target}")
            for block, block_target in _VAE_BLOCKS
            for leaf, leaf_target in _VAE_LEAVES
        ),
    )
)

# Older files prefix the encoder and name its weight norm otherwise; pre-training files carry further heads.
WAV2VEC2_KEYS = KeyMap(
    (
        _rule(r"(quantizer|project_hid|project_q)\..+"),
        _rule(
            r"(?:wav2vec2\.)?(encoder\.pos_conv_embed\.conv)\.weight_g",
            r"\1.parametrizations.weight.original0",
        ),
        _rule(
            r"(?:wav2vec2\.)?(encoder\.pos_conv_embed\.conv)\.weight_v",
            r"\1.parametrizations.weight.original1",
        ),
        _rule(
            r"(?:wav2vec2\.)?((?:masked_spec_embed|feature_extractor|feature_projection|encoder)(?:\..+)?)",
            r"\1",
        ),
    )
)
