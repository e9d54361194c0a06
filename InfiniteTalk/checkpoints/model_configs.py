"""The sizes of each model, read off its weights.

Of the original models only two come with configurations, so the other sizes are taken from shapes.
What shapes cannot tell is the same in every published checkpoint and stands here as a constant.
All keys are those of diffusers, of transformers and of our transformer.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import CLIPVisionConfig, UMT5Config, Wav2Vec2Config

Shapes = Mapping[str, tuple[int, ...]]

CLIP_HEAD_DIM = 80
PATCH_SIZE = (1, 2, 2)


class UnsupportedModelError(ValueError):
    """The checkpoint is of another kind of model."""


def transformer_config(original: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """The arguments of `WanTransformer3DModel`.

    Args:
        original: The base checkpoint's `config.json`; keys that begin with an underscore are not looked at.
        shapes: The shapes of the base's weights.

    Raises:
        UnsupportedModelError: `original` is not of an image-to-video model.
    """
    if original["model_type"] != "i2v":
        raise UnsupportedModelError(
            f"model_type is {original['model_type']!r}; InfiniteTalk is built on 'i2v'"
        )
    return {
        "patch_size": PATCH_SIZE,
        "num_attention_heads": original["num_heads"],
        "attention_head_dim": original["dim"] // original["num_heads"],
        "in_channels": original["in_dim"],
        "out_channels": original["out_dim"],
        "text_dim": shapes["condition_embedder.text_embedder.linear_1.weight"][1],
        "freq_dim": original["freq_dim"],
        "ffn_dim": original["ffn_dim"],
        "num_layers": original["num_layers"],
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "eps": original["eps"],
        "image_dim": shapes["condition_embedder.image_embedder.norm1.weight"][0],
        "added_kv_proj_dim": original["dim"],
    }


def audio_config(shapes: Shapes, wav2vec2: Wav2Vec2Config) -> dict[str, int]:
    """The arguments that `InfiniteTalkTransformer3DModel` takes beside those of the base.

    Raises:
        UnsupportedModelError: The weights are not InfiniteTalk's.
    """
    if "audio_projection.proj1.weight" not in shapes:
        raise UnsupportedModelError(
            "the file for InfiniteTalk's audio layers holds no audio_proj.proj1.weight"
        )
    frame = wav2vec2.num_hidden_layers * wav2vec2.hidden_size
    hidden_dim, window_inputs = shapes["audio_projection.proj1.weight"]
    latter_inputs = shapes["audio_projection.proj1_latter.weight"][1]
    (token_dim,) = shapes["audio_projection.norm.weight"]
    return {
        "audio_window": window_inputs // frame,
        "audio_blocks": wav2vec2.num_hidden_layers,
        "audio_channels": wav2vec2.hidden_size,
        "audio_hidden_dim": hidden_dim,
        "audio_token_dim": token_dim,
        "audio_tokens": shapes["audio_projection.proj3.bias"][0] // token_dim,
        # A later latent frame sees the windows of all its video frames: one more frame of speech for each
        # but the first.
        "vae_scale_factor_temporal": (latter_inputs - window_inputs) // frame + 1,
    }


def t5_config(shapes: Shapes) -> UMT5Config:
    """The configuration of the text encoder."""
    vocab_size, d_model = shapes["shared.weight"]
    buckets, num_heads = shapes["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    return UMT5Config(
        vocab_size=vocab_size,
        d_model=d_model,
        d_kv=shapes["encoder.block.0.layer.0.SelfAttention.q.weight"][0] // num_heads,
        d_ff=shapes["encoder.block.0.layer.1.DenseReluDense.wo.weight"][1],
        num_layers=count_layers("encoder.block", shapes),
        num_heads=num_heads,
        relative_attention_num_buckets=buckets,
        relative_attention_max_distance=128,
        feed_forward_proj="gated-gelu",
        layer_norm_epsilon=1e-6,
        architectures=["UMT5EncoderModel"],
    )


def clip_config(shapes: Shapes) -> CLIPVisionConfig:
    """The configuration of the image encoder."""
    hidden_size, _, patch_size, _ = shapes["embeddings.patch_embedding.weight"]
    patches = shapes["embeddings.position_embedding.weight"][0] - 1
    return CLIPVisionConfig(
        hidden_size=hidden_size,
        intermediate_size=shapes["encoder.layers.0.mlp.fc1.weight"][0],
        num_hidden_layers=count_layers("encoder.layers", shapes),
        num_attention_heads=hidden_size // CLIP_HEAD_DIM,
        image_size=round(patches**0.5) * patch_size,
        patch_size=patch_size,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        projection_dim=1024,
        architectures=["CLIPVisionModel"],
    )


def vae_config(shapes: Shapes) -> dict[str, Any]:
    """The arguments of `AutoencoderKLWan`; all but the widths are its defaults."""
    return {
        "base_dim": shapes["encoder.conv_in.weight"][0],
        "z_dim": shapes["decoder.conv_in.weight"][1],
    }


def count_layers(prefix: str, keys: Iterable[str]) -> int:
    """How many numbered modules follow `prefix` in the names of weights."""
    start = f"{prefix}."
    return len({key[len(start) :].split(".", 1)[0] for key in keys if key.startswith(start)})


def save_config(class_name: str, config: Mapping[str, Any], folder: Path) -> None:
    """Writes the arguments of a diffusers model as its `from_pretrained` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"_class_name": class_name, **config}
    (folder / "config.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """The arguments of a model, from its `config.json`."""
    config = json.loads((folder / "config.json").read_text())
    return {key: value for key, value in config.items() if not key.startswith("_")}
