"""Writes a tiny random checkpoint with the original's files, names and number types.

For tests, demonstrations and continuous integration: conversion, loading, pipeline and worker then run whole
on a CPU. What it renders is noise.

    python -m InfiniteTalk.tiny DIR
"""

import argparse
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

NUM_SHARDS = 7
DIM, FFN_DIM, FREQ_DIM, NUM_HEADS, NUM_LAYERS = 64, 128, 32, 2, 2
TEXT_DIM, TEXT_FFN_DIM, TEXT_HEADS, TEXT_HEAD_DIM, TEXT_LAYERS = 32, 64, 2, 16, 2
# The width of CLIP's heads (80) is no part of its files, and neither is its image size (224, 257 positions).
CLIP_DIM, CLIP_LAYERS, CLIP_PATCH, CLIP_POSITIONS = 160, 3, 14, 257
AUDIO_HIDDEN_DIM, AUDIO_TOKEN_DIM, AUDIO_TOKENS, AUDIO_WINDOW, VAE_TEMPORAL_SCALE = 32, 32, 32, 5, 4
SPEECH_DIM, SPEECH_LAYERS = 32, 4
VAE_DIM, VAE_LATENTS = 4, 16
LORA_RANK = 4

Tensors = dict[str, torch.Tensor]


def write_tiny_checkpoint(directory: Path, seed: int = 0) -> None:
    """Writes every component of the model below `directory`, a few MB in all.

    The layout is that of the downloads: `Wan2.1-I2V-14B-480P/`, `InfiniteTalk/{single,multi}/`,
    `chinese-wav2vec2-base/`, `SoulX-FlashTalk-14B/`, and two LoRA files in `lora/`. The same seed gives the
    same bytes.
    """
    random = _Random(seed)
    base = directory / "Wan2.1-I2V-14B-480P"
    base.mkdir(parents=True, exist_ok=True)
    _write_transformer(base, _base_tensors(random))
    t5 = {key: tensor.bfloat16() for key, tensor in _t5_tensors(random).items()}
    torch.save(t5, base / "models_t5_umt5-xxl-enc-bf16.pth")
    torch.save(_clip_tensors(random), base / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth")
    torch.save(_vae_tensors(random), base / "Wan2.1_VAE.pth")
    _write_tokenizer(base / "google" / "umt5-xxl")
    for speakers in ("single", "multi"):
        folder = directory / "InfiniteTalk" / speakers
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_audio_tensors(random), folder / "infinitetalk.safetensors", metadata={"format": "pt"})
    _write_wav2vec2(directory / "chinese-wav2vec2-base", random)
    _write_loras(directory / "lora", random)
    _write_transformer(directory / "SoulX-FlashTalk-14B", _base_tensors(random) | _audio_tensors(random))


class _Random:
    """Random tensors under their original names, scaled so that activations keep about their size."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, std: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator) * std

    def linear(self, name: str, in_dim: int, out_dim: int, bias: bool = True) -> Tensors:
        return self.conv(name, in_dim, out_dim, bias=bias)

    def conv(self, name: str, in_dim: int, out_dim: int, *kernel: int, bias: bool = True) -> Tensors:
        fan_in = in_dim * torch.Size(kernel).numel()
        tensors = {f"{name}.weight": self.normal(out_dim, in_dim, *kernel, std=fan_in**-0.5)}
        if bias:
            tensors[f"{name}.bias"] = self.normal(out_dim, std=0.02)
        return tensors

    def norm(self, name: str, dim: int, bias: bool = True) -> Tensors:
        tensors = {f"{name}.weight": 1 + self.normal(dim, std=0.02)}
        if bias:
            tensors[f"{name}.bias"] = self.normal(dim, std=0.02)
        return tensors


def _write_transformer(folder: Path, tensors: Tensors) -> None:
    config = {
        "_class_name": "WanModel",
        "_diffusers_version": "0.30.0",
        "dim": DIM,
        "eps": 1e-06,
        "ffn_dim": FFN_DIM,
        "freq_dim": FREQ_DIM,
        "in_dim": 36,
        "model_type": "i2v",
        "num_heads": NUM_HEADS,
        "num_layers": NUM_LAYERS,
        "out_dim": 16,
        "text_len": 512,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    names = [f"diffusion_pytorch_model-{i + 1:05}-of-{NUM_SHARDS:05}.safetensors" for i in range(NUM_SHARDS)]
    weight_map = {key: names[i * NUM_SHARDS // len(tensors)] for i, key in enumerate(tensors)}
    for name in names:
        shard = {key: tensor for key, tensor in tensors.items() if weight_map[key] == name}
        save_file(shard, folder / name, metadata={"format": "pt"})
    total_size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total_size}, "weight_map": weight_map}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _base_tensors(random: _Random) -> Tensors:
    tensors = {
        **random.conv("patch_embedding", 36, DIM, 1, 2, 2),
        **random.linear("text_embedding.0", TEXT_DIM, DIM),
        **random.linear("text_embedding.2", DIM, DIM),
        **random.linear("time_embedding.0", FREQ_DIM, DIM),
        **random.linear("time_embedding.2", DIM, DIM),
        **random.linear("time_projection.1", DIM, 6 * DIM),
        **random.norm("img_emb.proj.0", CLIP_DIM),
        **random.linear("img_emb.proj.1", CLIP_DIM, CLIP_DIM),
        **random.linear("img_emb.proj.3", CLIP_DIM, DIM),
        **random.norm("img_emb.proj.4", DIM),
        "head.modulation": random.normal(1, 2, DIM, std=DIM**-0.5),
        **random.linear("head.head", DIM, 64),
    }
    for i in range(NUM_LAYERS):
        tensors |= _block_tensors(random, f"blocks.{i}")
    return tensors


def _block_tensors(random: _Random, block: str) -> Tensors:
    tensors = {f"{block}.modulation": random.normal(1, 6, DIM, std=DIM**-0.5)}
    for attention, linears in (("self_attn", "qkvo"), ("cross_attn", ("q", "k", "v", "o", "k_img", "v_img"))):
        for name in linears:
            tensors |= random.linear(f"{block}.{attention}.{name}", DIM, DIM)
        for name in "qk":
            tensors |= random.norm(f"{block}.{attention}.norm_{name}", DIM, bias=False)
    return {
        **tensors,
        **random.norm(f"{block}.cross_attn.norm_k_img", DIM, bias=False),
        **random.norm(f"{block}.norm3", DIM),
        **random.linear(f"{block}.ffn.0", DIM, FFN_DIM),
        **random.linear(f"{block}.ffn.2", FFN_DIM, DIM),
    }


def _audio_tensors(random: _Random) -> Tensors:
    frame = SPEECH_LAYERS * SPEECH_DIM
    latter_window = AUDIO_WINDOW + VAE_TEMPORAL_SCALE - 1
    tensors = {
        **random.linear("audio_proj.proj1", AUDIO_WINDOW * frame, AUDIO_HIDDEN_DIM),
        **random.linear("audio_proj.proj1_vf", latter_window * frame, AUDIO_HIDDEN_DIM),
        **random.linear("audio_proj.proj2", AUDIO_HIDDEN_DIM, AUDIO_HIDDEN_DIM),
        **random.linear("audio_proj.proj3", AUDIO_HIDDEN_DIM, AUDIO_TOKENS * AUDIO_TOKEN_DIM),
        **random.norm("audio_proj.norm", AUDIO_TOKEN_DIM),
    }
    for i in range(NUM_LAYERS):
        tensors |= random.norm(f"blocks.{i}.norm_x", DIM)
        tensors |= random.linear(f"blocks.{i}.audio_cross_attn.q_linear", DIM, DIM)
        tensors |= random.linear(f"blocks.{i}.audio_cross_attn.kv_linear", AUDIO_TOKEN_DIM, 2 * DIM)
        tensors |= random.linear(f"blocks.{i}.audio_cross_attn.proj", DIM, DIM)
    return tensors


def _t5_tensors(random: _Random) -> Tensors:
    inner = TEXT_HEADS * TEXT_HEAD_DIM
    # The real table has a few more rows than the tokenizer has pieces; so has this one.
    tensors = {"token_embedding.weight": random.normal(len(_pieces()) + 4, TEXT_DIM)}
    for i in range(TEXT_LAYERS):
        tensors |= random.norm(f"blocks.{i}.norm1", TEXT_DIM, bias=False)
        for name in "qkv":
            tensors |= random.linear(f"blocks.{i}.attn.{name}", TEXT_DIM, inner, bias=False)
        tensors |= random.linear(f"blocks.{i}.attn.o", inner, TEXT_DIM, bias=False)
        tensors |= random.norm(f"blocks.{i}.norm2", TEXT_DIM, bias=False)
        tensors |= random.linear(f"blocks.{i}.ffn.gate.0", TEXT_DIM, TEXT_FFN_DIM, bias=False)
        tensors |= random.linear(f"blocks.{i}.ffn.fc1", TEXT_DIM, TEXT_FFN_DIM, bias=False)
        tensors |= random.linear(f"blocks.{i}.ffn.fc2", TEXT_FFN_DIM, TEXT_DIM, bias=False)
        tensors[f"blocks.{i}.pos_embedding.embedding.weight"] = random.normal(32, TEXT_HEADS)
    return tensors | random.norm("norm", TEXT_DIM, bias=False)


def _clip_tensors(random: _Random) -> Tensors:
    """The visual half that is used, and a few names of the text half that is not."""
    tensors = {
        "log_scale": torch.tensor(2.6592),
        "visual.cls_embedding": random.normal(1, 1, CLIP_DIM),
        "visual.pos_embedding": random.normal(1, CLIP_POSITIONS, CLIP_DIM),
        "visual.head": random.normal(CLIP_DIM, CLIP_DIM),
        **random.conv("visual.patch_embedding", 3, CLIP_DIM, CLIP_PATCH, CLIP_PATCH, bias=False),
        **random.norm("visual.pre_norm", CLIP_DIM),
        **random.norm("visual.post_norm", CLIP_DIM),
        **random.linear("textual.blocks.0.attn.q", 16, 16),
        "textual.token_embedding.weight": random.normal(8, 16),
    }
    for i in range(CLIP_LAYERS):
        block = f"visual.transformer.{i}"
        tensors |= random.norm(f"{block}.norm1", CLIP_DIM)
        tensors |= random.linear(f"{block}.attn.to_qkv", CLIP_DIM, 3 * CLIP_DIM)
        tensors |= random.linear(f"{block}.attn.proj", CLIP_DIM, CLIP_DIM)
        tensors |= random.norm(f"{block}.norm2", CLIP_DIM)
        tensors |= random.linear(f"{block}.mlp.0", CLIP_DIM, 4 * CLIP_DIM)
        tensors |= random.linear(f"{block}.mlp.2", 4 * CLIP_DIM, CLIP_DIM)
    return tensors


def _vae_tensors(random: _Random) -> Tensors:
    half, full, quarter = 2 * VAE_DIM, 4 * VAE_DIM, VAE_DIM
    return {
        **random.conv("encoder.conv1", 3, quarter, 3, 3, 3),
        **_vae_levels(
            random,
            "encoder.downsamples",
            [*[(quarter, quarter)] * 2, "2d", (quarter, half), (half, half), "3d"],
            [(half, full), (full, full), "3d", *[(full, full)] * 2],
        ),
        **_vae_ends(random, "encoder", full, full, 2 * VAE_LATENTS),
        **random.conv("conv1", 2 * VAE_LATENTS, 2 * VAE_LATENTS, 1, 1, 1),
        **random.conv("conv2", VAE_LATENTS, VAE_LATENTS, 1, 1, 1),
        **random.conv("decoder.conv1", VAE_LATENTS, full, 3, 3, 3),
        **_vae_levels(
            random,
            "decoder.upsamples",
            [*[(full, full)] * 3, "3d", (half, full), *[(full, full)] * 2, "3d"],
            [*[(half, half)] * 3, "2d", *[(quarter, quarter)] * 3],
        ),
        **_vae_ends(random, "decoder", full, quarter, 3),
    }


def _vae_levels(random: _Random, name: str, *levels: list[tuple[int, int] | str]) -> Tensors:
    """Residual blocks, given by their channels, and samplers, which keep (down) or halve (up) them."""
    tensors: Tensors = {}
    up = name == "decoder.upsamples"
    channels = 0
    for i, level in enumerate(chain(*levels)):
        if isinstance(level, tuple):
            tensors |= _vae_residual(random, f"{name}.{i}", *level)
            channels = level[1]
            continue
        tensors |= random.conv(f"{name}.{i}.resample.1", channels, channels // 2 if up else channels, 3, 3)
        if level == "3d":
            tensors |= random.conv(
                f"{name}.{i}.time_conv", channels, 2 * channels if up else channels, 3, 1, 1
            )
    return tensors


def _vae_residual(random: _Random, name: str, in_dim: int, out_dim: int) -> Tensors:
    tensors = {
        f"{name}.residual.0.gamma": _gamma(random, in_dim, 3),
        **random.conv(f"{name}.residual.2", in_dim, out_dim, 3, 3, 3),
        f"{name}.residual.3.gamma": _gamma(random, out_dim, 3),
        **random.conv(f"{name}.residual.6", out_dim, out_dim, 3, 3, 3),
    }
    if in_dim != out_dim:
        tensors |= random.conv(f"{name}.shortcut", in_dim, out_dim, 1, 1, 1)
    return tensors


def _vae_ends(random: _Random, half: str, middle: int, last: int, out_dim: int) -> Tensors:
    return {
        **_vae_residual(random, f"{half}.middle.0", middle, middle),
        f"{half}.middle.1.norm.gamma": _gamma(random, middle, 2),
        **random.conv(f"{half}.middle.1.to_qkv", middle, 3 * middle, 1, 1),
        **random.conv(f"{half}.middle.1.proj", middle, middle, 1, 1),
        **_vae_residual(random, f"{half}.middle.2", middle, middle),
        f"{half}.head.0.gamma": _gamma(random, last, 3),
        **random.conv(f"{half}.head.2", last, out_dim, 3, 3, 3),
    }


def _gamma(random: _Random, dim: int, trailing: int) -> torch.Tensor:
    return 1 + random.normal(dim, *(1,) * trailing, std=0.02)


def _pieces() -> list[str]:
    printable = [chr(code) for code in range(0x21, 0x7F)]
    return ["<pad>", "</s>", "<unk>", "▁", *printable, *(f"▁{letter}" for letter in printable)]


def _write_tokenizer(folder: Path) -> None:
    """A tokenizer of single characters, of the kind and with the special tokens of google/umt5-xxl."""
    pieces = [(piece, 0.0 if i < 3 else -float(i)) for i, piece in enumerate(_pieces())]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    special_tokens = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 512, **special_tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(special_tokens, indent=2) + "\n")


def _write_wav2vec2(folder: Path, random: _Random) -> None:
    config = Wav2Vec2Config(
        hidden_size=SPEECH_DIM,
        num_hidden_layers=SPEECH_LAYERS,
        num_attention_heads=2,
        intermediate_size=2 * SPEECH_DIM,
        conv_dim=(SPEECH_DIM,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in Wav2Vec2Model(config).state_dict().items()}
    tensors = {
        _old_weight_norm_name(key): _speech_tensor(random, key, shape) for key, shape in shapes.items()
    }
    config.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _old_weight_norm_name(key: str) -> str:
    return key.replace("parametrizations.weight.original0", "weight_g").replace(
        "parametrizations.weight.original1", "weight_v"
    )


def _speech_tensor(random: _Random, key: str, shape: torch.Size) -> torch.Tensor:
    if key.endswith(("norm.weight", "original0")):
        return 1 + random.normal(*shape, std=0.02)
    fan_in = shape[1:].numel() if len(shape) > 1 else 2500
    return random.normal(*shape, std=fan_in**-0.5)


def _write_loras(folder: Path, random: _Random) -> None:
    """Two LoRA files as they are met: lightx2v's names and FusionX's names."""
    folder.mkdir(parents=True, exist_ok=True)
    linears = dict(_lora_linears())
    lightx2v: Tensors = {}
    fusionx: Tensors = {}
    for module, (in_dim, out_dim) in linears.items():
        down, up = (
            random.normal(LORA_RANK, in_dim, std=in_dim**-0.5),
            random.normal(out_dim, LORA_RANK, std=0.1),
        )
        lightx2v[f"{module}.lora_down.weight"], lightx2v[f"{module}.lora_up.weight"] = down, up
        lightx2v[f"{module}.alpha"] = torch.tensor(float(LORA_RANK) / 2)
        lightx2v[f"{module}.diff_b"] = random.normal(out_dim, std=0.02)
        fusionx[f"{module}.lora_A.weight"], fusionx[f"{module}.lora_B.weight"] = down.clone(), -up
    for i in range(NUM_LAYERS):
        lightx2v[f"blocks.{i}.norm3.diff"] = random.normal(DIM, std=0.02)
        lightx2v[f"blocks.{i}.norm3.diff_b"] = random.normal(DIM, std=0.02)
        lightx2v[f"blocks.{i}.self_attn.norm_q.diff"] = random.normal(DIM, std=0.02)
    lightx2v["head.head.diff"] = random.normal(64, DIM, std=0.01)
    names = {
        "lightx2v_I2V_14B_480p_cfg_step_distill_rank64_bf16": lightx2v,
        "Wan2.1_I2V_14B_FusionX_LoRA": fusionx,
    }
    for name, tensors in names.items():
        prefixed = {f"diffusion_model.{key}": tensor.bfloat16() for key, tensor in tensors.items()}
        save_file(prefixed, folder / f"{name}.safetensors", metadata={"format": "pt"})


def _lora_linears() -> Iterator[tuple[str, tuple[int, int]]]:
    for i in range(NUM_LAYERS):
        for attention in ("self_attn", "cross_attn"):
            for name in "qkvo":
                yield f"blocks.{i}.{attention}.{name}", (DIM, DIM)
        yield f"blocks.{i}.ffn.0", (DIM, FFN_DIM)
        yield f"blocks.{i}.ffn.2", (FFN_DIM, DIM)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m InfiniteTalk.tiny", description=__doc__)
    parser.add_argument("directory", type=Path, help="folder to write to; made if it does not exist")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_tiny_checkpoint(arguments.directory, arguments.seed)
