"""Names of the transformer's weights: the original checkpoints' ⇄ ours.

Ours are diffusers' names of `WanTransformer3DModel`, plus those of the audio layers. Both directions come
from one table, so that they cannot disagree. Names are mapped one to one; no tensor is reshaped.
"""

import re

_BLOCK = re.compile(r"(blocks\.\d+\.)(.+)")

_MODEL_NAMES = {
    "patch_embedding": "patch_embedding",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "head.modulation": "scale_shift_table",
    "head.head": "proj_out",
    "audio_proj.proj1": "audio_projection.proj1",
    "audio_proj.proj1_vf": "audio_projection.proj1_latter",
    "audio_proj.proj2": "audio_projection.proj2",
    "audio_proj.proj3": "audio_projection.proj3",
    "audio_proj.norm": "audio_projection.norm",
}

# In the original, norm3 stands before the cross-attention; its norm1 and norm2 have no weights.
_BLOCK_NAMES = {
    "modulation": "scale_shift_table",
    **{f"self_attn.{name}": f"attn1.to_{name}" for name in "qkv"},
    "self_attn.o": "attn1.to_out.0",
    "self_attn.norm_q": "attn1.norm_q",
    "self_attn.norm_k": "attn1.norm_k",
    **{f"cross_attn.{name}": f"attn2.to_{name}" for name in "qkv"},
    "cross_attn.o": "attn2.to_out.0",
    "cross_attn.norm_q": "attn2.norm_q",
    "cross_attn.norm_k": "attn2.norm_k",
    "cross_attn.k_img": "attn2.add_k_proj",
    "cross_attn.v_img": "attn2.add_v_proj",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "norm_x": "norm_audio",
    "audio_cross_attn.q_linear": "attn_audio.to_q",
    "audio_cross_attn.kv_linear": "attn_audio.to_kv",
    "audio_cross_attn.proj": "attn_audio.to_out",
}


class UnknownKeyError(KeyError):
    """A name that the transformer does not have."""


def transformer_key(original: str) -> str:
    """Our name of an original weight or module: `blocks.3.self_attn.q.weight` → `blocks.3.attn1.to_q.weight`.

    Raises:
        UnknownKeyError: the original transformer has no such weight or module.
    """
    return _rename(original, _MODEL_NAMES, _BLOCK_NAMES)


def original_transformer_key(ours: str) -> str:
    """The original name of one of our weights or modules; the inverse of `transformer_key`.

    Raises:
        UnknownKeyError: our transformer has no such weight or module.
    """
    return _rename(ours, _inverse(_MODEL_NAMES), _inverse(_BLOCK_NAMES))


def transformer_key_of_flattened(flattened: str) -> str:
    """Our name of a module, original or ours, whose dots are written as underscores.

    `blocks_3_self_attn_q` → `blocks.3.attn1.to_q`.

    Raises:
        UnknownKeyError: neither transformer has such a module.
    """
    block = re.fullmatch(r"blocks_(\d+)_(.+)", flattened)
    prefix, name, names = (
        (f"blocks.{block[1]}.", block[2], _BLOCK_NAMES) if block else ("", flattened, _MODEL_NAMES)
    )
    dotted = {key.replace(".", "_"): ours for original, ours in names.items() for key in (original, ours)}
    if name not in dotted:
        raise UnknownKeyError(flattened)
    return prefix + dotted[name]


def is_audio_key(ours: str) -> bool:
    """Whether a weight or module (in our names) is of InfiniteTalk's audio layers, not of the Wan base."""
    return ours.startswith("audio_projection.") or ".norm_audio" in ours or ".attn_audio." in ours


def _rename(key: str, model_names: dict[str, str], block_names: dict[str, str]) -> str:
    block = _BLOCK.fullmatch(key)
    prefix, name, names = (block[1], block[2], block_names) if block else ("", key, model_names)
    if name in names:
        return prefix + names[name]
    module, _, parameter = name.rpartition(".")
    if module in names:
        return f"{prefix}{names[module]}.{parameter}"
    raise UnknownKeyError(key)


def _inverse(names: dict[str, str]) -> dict[str, str]:
    return {ours: original for original, ours in names.items()}
