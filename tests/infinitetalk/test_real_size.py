"""The names and shapes of the published files, against models of that size (which take no memory)."""

import json
import re
from functools import partial
from pathlib import Path

import pytest
from diffusers import AutoencoderKLWan
from transformers import CLIPVisionModel, UMT5EncoderModel, Wav2Vec2Config

from InfiniteTalk.checkpoints.completeness import needed_shapes
from InfiniteTalk.checkpoints.encoder_key_maps import T5_KEYS, VAE_KEYS, clip_keys
from InfiniteTalk.checkpoints.key_maps import is_audio_key
from InfiniteTalk.checkpoints.model_configs import (
    audio_config,
    clip_config,
    t5_config,
    transformer_config,
    vae_config,
)
from InfiniteTalk.checkpoints.original_checkpoint import Place, place_transformer, squeezed
from InfiniteTalk.checkpoints.precision import is_block_matrix
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

KEYS = Path(__file__).parent / "keys"
BASE_CONFIG = {
    "model_type": "i2v",
    "dim": 5120,
    "ffn_dim": 13824,
    "freq_dim": 256,
    "in_dim": 36,
    "out_dim": 16,
    "num_heads": 40,
    "num_layers": 40,
    "text_len": 512,
    "eps": 1e-6,
}

Shapes = dict[str, tuple[int, ...]]


def published(component: str) -> Shapes:
    """All keys of a published file; `{40}` in the list stands for the numbers 0 to 39."""
    shapes: Shapes = {}
    for pattern, shape in json.loads((KEYS / f"{component}.json").read_text()).items():
        count = re.search(r"\{(\d+)\}", pattern)
        numbers = range(int(count[1])) if count else [0]
        shapes |= {re.sub(r"\{\d+\}", str(i), pattern): tuple(shape) for i in numbers}
    return shapes


def placed(shapes: Shapes, place: Place) -> Shapes:
    result: Shapes = {}
    for key, shape in shapes.items():
        placement = place(key)
        for target in placement.targets:
            rows, *others = squeezed(shape) if placement.squeeze else shape
            result[target] = (rows // len(placement.targets), *others)
    return result


def test_the_published_transformer_is_ours() -> None:
    shapes = placed(published("transformer"), place_transformer)
    config = transformer_config(BASE_CONFIG, shapes) | audio_config(shapes, Wav2Vec2Config())

    assert len(shapes) == 1633
    assert sum(is_audio_key(key) for key in shapes) == 330
    assert config == {
        "patch_size": (1, 2, 2),
        "num_attention_heads": 40,
        "attention_head_dim": 128,
        "in_channels": 36,
        "out_channels": 16,
        "text_dim": 4096,
        "freq_dim": 256,
        "ffn_dim": 13824,
        "num_layers": 40,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "eps": 1e-6,
        "image_dim": 1280,
        "added_kv_proj_dim": 5120,
        "audio_window": 5,
        "audio_blocks": 12,
        "audio_channels": 768,
        "audio_hidden_dim": 512,
        "audio_token_dim": 768,
        "audio_tokens": 32,
        "vae_scale_factor_temporal": 4,
    }
    assert shapes == needed_shapes(partial(InfiniteTalkTransformer3DModel, **config))


def test_the_published_text_encoder_is_transformers_own() -> None:
    shapes = placed(published("text_encoder"), T5_KEYS.place)
    config = t5_config(shapes)

    assert (config.vocab_size, config.d_model, config.d_kv, config.d_ff) == (256384, 4096, 64, 10240)
    assert (config.num_layers, config.num_heads) == (24, 64)
    assert shapes == needed_shapes(partial(UMT5EncoderModel, config))


def test_the_published_image_encoder_is_transformers_own_without_its_last_block() -> None:
    shapes = placed(published("image_encoder"), clip_keys(32).place)
    config = clip_config(shapes)

    assert (config.hidden_size, config.intermediate_size, config.num_hidden_layers) == (1280, 5120, 31)
    assert (config.num_attention_heads, config.image_size, config.patch_size) == (16, 224, 14)
    assert shapes == needed_shapes(partial(CLIPVisionModel, config))


def test_the_published_vae_is_diffusers_own() -> None:
    shapes = placed(published("vae"), VAE_KEYS.place)

    assert vae_config(shapes) == {"base_dim": 96, "z_dim": 16}
    assert shapes == needed_shapes(AutoencoderKLWan)


@pytest.mark.parametrize(
    ("component", "place"), [("transformer", place_transformer), ("text_encoder", T5_KEYS.place)]
)
def test_float8_is_for_the_matrices_inside_the_blocks(component: str, place: Place) -> None:
    shapes = placed(published(component), place)
    rounded = {key for key, shape in shapes.items() if is_block_matrix(key, shape)}

    outside = {"embed", "shared", "norm", "bias", "scale_shift_table", "proj_out", "time", "audio_projection"}
    assert rounded
    assert not any(word in key for key in rounded for word in outside)
    matrices = {key for key, shape in shapes.items() if len(shape) == 2 and "block" in key}
    assert {key for key in matrices - rounded if "relative_attention_bias" not in key} == set()
