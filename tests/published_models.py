"""A prepared checkpoint of the published 14B size whose weights are holes in files: zeros without disk space.

Transformer, T5 and CLIP have two blocks instead of 40, 24 and 31: blocks are alike. All widths, VAE and
speech encoder are the published ones.
"""

import json
import math
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKLWan
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    UMT5Config,
    UMT5EncoderModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
)

from InfiniteTalk.checkpoints.completeness import needed_shapes
from InfiniteTalk.checkpoints.key_maps import is_audio_key
from InfiniteTalk.checkpoints.precision import SCALE_SUFFIX, is_block_matrix, is_kept_in_float32
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

BLOCKS = 2
BYTES = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "F32": 4}
BASE = {
    "num_layers": BLOCKS,
    "num_attention_heads": 40,
    "attention_head_dim": 128,
    "ffn_dim": 13824,
    "freq_dim": 256,
    "text_dim": 4096,
    "image_dim": 1280,
    "added_kv_proj_dim": 5120,
}
AUDIO = {"audio_blocks": 12, "audio_channels": 768, "audio_hidden_dim": 512, "audio_token_dim": 768}
T5 = {"vocab_size": 256384, "d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": BLOCKS}
CLIP = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 16,
    "num_hidden_layers": BLOCKS,
}
RANK = 64

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


def write_published_models(tiny: Path, folder: Path) -> Path:
    """Write the checkpoint to `folder`, with the tokenizer and the notes of a tiny one."""
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.index.json"))
    base, wav2vec2 = folder / "Wan2.1-I2V-14B-480P", folder / "chinese-wav2vec2-base"
    _configure(base / "transformer", BASE)
    _configure(base / "text_encoder", T5)
    _configure(base / "image_encoder", CLIP)
    _configure(base / "vae", {"base_dim": 96})
    Wav2Vec2Config().save_pretrained(wav2vec2)
    transformer = _float8(
        needed_shapes(partial(InfiniteTalkTransformer3DModel, num_layers=BLOCKS)),
        InfiniteTalkTransformer3DModel._keep_in_fp32_modules,
    )
    audio = {key: tensor for key, tensor in transformer.items() if is_audio_key(key)}
    _write(
        base / "transformer" / "diffusion_pytorch_model-00001-of-00001.safetensors",
        {key: tensor for key, tensor in transformer.items() if key not in audio},
    )
    for speakers in ("single", "multi"):
        _configure(folder / "InfiniteTalk" / speakers, AUDIO)
        _write(folder / "InfiniteTalk" / speakers / "diffusion_pytorch_model.safetensors", audio)
    _write(folder / "InfiniteTalk" / "lora" / "lightx2v.safetensors", _lora(transformer))
    t5 = UMT5Config.from_pretrained(base / "text_encoder")
    clip = CLIPVisionConfig.from_pretrained(base / "image_encoder")
    _write(
        base / "text_encoder" / "model.safetensors", _float8(needed_shapes(partial(UMT5EncoderModel, t5)), ())
    )
    _write(base / "image_encoder" / "model.safetensors", _all("F16", partial(CLIPVisionModel, clip)))
    _write(base / "vae" / "diffusion_pytorch_model.safetensors", _all("F32", AutoencoderKLWan))
    _write(wav2vec2 / "model.safetensors", _all("F32", partial(Wav2Vec2Model, Wav2Vec2Config())))
    return folder


def _configure(folder: Path, changes: Mapping[str, Any]) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _float8(shapes: Mapping[str, tuple[int, ...]], float32: Any) -> Tensors:
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for key, shape in shapes.items():
        if is_block_matrix(key, shape):
            tensors[key] = ("F8_E4M3", shape)
            tensors[key + SCALE_SUFFIX] = ("F32", (shape[0], 1))
        else:
            tensors[key] = ("F32" if is_kept_in_float32(key, float32) else "BF16", shape)
    return tensors


def _lora(transformer: Tensors) -> Tensors:
    tensors = {}
    for key, (dtype, shape) in transformer.items():
        if dtype == "F8_E4M3" and not is_audio_key(key):
            layer = key.removesuffix(".weight")
            tensors[f"{layer}.lora_A.weight"] = ("BF16", (RANK, shape[1]))
            tensors[f"{layer}.lora_B.weight"] = ("BF16", (shape[0], RANK))
    return tensors


def _all(dtype: str, build: Any) -> Tensors:
    return {key: (dtype, shape) for key, shape in needed_shapes(build).items()}


def _write(path: Path, tensors: Tensors) -> None:
    """A safetensors file with a hole where its tensors are."""
    header, end = {}, 0
    for key, (dtype, shape) in tensors.items():
        begin, end = end, end + math.prod(shape) * BYTES[dtype]
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": (begin, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
