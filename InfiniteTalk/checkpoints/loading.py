"""Builds the models, from a prepared checkpoint or from the downloads themselves."""

import json
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from transformers import (
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerBase,
    UMT5Config,
    UMT5EncoderModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

from InfiniteTalk.checkpoints.audio_layers import audio_layers_config, find_audio_file, is_prepared_file
from InfiniteTalk.checkpoints.conversion import WEIGHTS_FILE
from InfiniteTalk.checkpoints.filling import NamedTensors, block_weights, fill_model, read_prepared
from InfiniteTalk.checkpoints.lora import LoraSwitch
from InfiniteTalk.checkpoints.lora_files import read_lora
from InfiniteTalk.checkpoints.lora_merging import with_loras
from InfiniteTalk.checkpoints.model_configs import (
    audio_config,
    clip_config,
    read_config,
    t5_config,
    transformer_config,
    vae_config,
)
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.original_checkpoint import (
    CLIP_FILE,
    T5_FILE,
    TOKENIZER_FOLDER,
    VAE_FILE,
    Speakers,
    original_shapes,
    place_clip,
    place_t5,
    place_transformer,
    place_vae,
    place_wav2vec2,
    read_original,
    shard_names,
)
from InfiniteTalk.checkpoints.weight_files import NotAFileError
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel


@dataclass(frozen=True)
class Components:
    """All models of a pipeline; without the text encoder where prompts are embedded elsewhere."""

    transformer: InfiniteTalkTransformer3DModel
    vae: AutoencoderKLWan
    text_encoder: UMT5EncoderModel | None
    tokenizer: PreTrainedTokenizerBase
    image_encoder: CLIPVisionModel
    wav2vec2: Wav2Vec2Model
    feature_extractor: Wav2Vec2FeatureExtractor
    loras: LoraSwitch


def load_components(
    paths: CheckpointPaths, speakers: Speakers, options: LoadOptions | None = None
) -> Components:
    """Loads every model.

    Raises:
        WeightFileError: A file is missing or cannot be used.
        UnknownKeysError: A file holds weights of another model.
        IncompleteModelError: Weights lack, are too many, or have another shape.
        LoraError: A LoRA that does not fit.
    """
    options = options or LoadOptions()
    transformer = load_transformer(paths, speakers, options)
    loras = [read_lora(path) for path in paths.loras]
    return Components(
        transformer=transformer,
        vae=load_vae(paths.ckpt_dir, options),
        text_encoder=load_text_encoder(paths.ckpt_dir, options),
        tokenizer=load_tokenizer(paths.ckpt_dir),
        image_encoder=load_image_encoder(paths.ckpt_dir, options),
        wav2vec2=load_speech_encoder(paths.wav2vec_dir, options),
        feature_extractor=Wav2Vec2FeatureExtractor.from_pretrained(paths.wav2vec_dir),
        loras=LoraSwitch(transformer, loras, options.torch_dtype),
    )


def load_transformer(
    paths: CheckpointPaths, speakers: Speakers, options: LoadOptions
) -> InfiniteTalkTransformer3DModel:
    """Loads a whole transformer, of its parts or of one merged checkpoint. Raises as `load_components`."""
    base = paths.merged or paths.ckpt_dir
    files = [(file, _is_prepared(base)) for file in _base_files(base)]
    if paths.merged:
        config = _merged_config(paths.merged, paths.wav2vec_dir)
    else:
        audio_file = find_audio_file(paths.infinitetalk, speakers)
        config = {**_base_config(base), **audio_layers_config(audio_file, paths.wav2vec_dir)}
        # The audio file comes last, so that layers of the base that it also holds win.
        files.append((audio_file, is_prepared_file(audio_file)))
    tensors: NamedTensors = chain.from_iterable(
        read_prepared(file, options) if is_prepared else read_original(file, place_transformer)
        for file, is_prepared in files
    )
    build = partial(InfiniteTalkTransformer3DModel, **config)
    if paths.merged_loras:
        tensors = with_loras(tensors, paths.merged_loras, build, options.device)
    float32_modules = InfiniteTalkTransformer3DModel._keep_in_fp32_modules
    weights = block_weights(tensors, options, float32_modules)
    return fill_model(build, weights, options.device, f"the transformer in {base}")


def load_text_encoder(ckpt_dir: Path, options: LoadOptions) -> UMT5EncoderModel:
    """Loads the encoder half of T5. Raises as `load_components`."""
    if _is_prepared(ckpt_dir):
        folder = ckpt_dir / "text_encoder"
        config, tensors = (
            UMT5Config.from_pretrained(folder),
            read_prepared(folder / "model.safetensors", options),
        )
    else:
        file = ckpt_dir / T5_FILE
        config, tensors = t5_config(original_shapes(file, place_t5)), read_original(file, place_t5)
    build, weights = partial(UMT5EncoderModel, config), block_weights(tensors, options)
    return fill_model(build, weights, options.device, f"T5 in {ckpt_dir}")


def load_tokenizer(ckpt_dir: Path) -> PreTrainedTokenizerBase:
    """Loads T5's tokenizer."""
    folder = ckpt_dir / ("tokenizer" if _is_prepared(ckpt_dir) else TOKENIZER_FOLDER)
    if not folder.is_dir():
        raise NotAFileError(f"{folder} does not exist")
    return AutoTokenizer.from_pretrained(folder)


def load_image_encoder(ckpt_dir: Path, options: LoadOptions) -> CLIPVisionModel:
    """Loads the visual half of CLIP without its last block. Raises as `load_components`."""
    if _is_prepared(ckpt_dir):
        folder = ckpt_dir / "image_encoder"
        config, tensors = (
            CLIPVisionConfig.from_pretrained(folder),
            read_prepared(folder / "model.safetensors", options),
        )
    else:
        place = place_clip(ckpt_dir / CLIP_FILE)
        config = clip_config(original_shapes(ckpt_dir / CLIP_FILE, place))
        tensors = read_original(ckpt_dir / CLIP_FILE, place)
    dtype = torch.float32 if options.torch_dtype == torch.float32 else torch.float16
    weights = ((key, tensor.to(options.device, dtype)) for key, tensor in tensors)
    return fill_model(partial(CLIPVisionModel, config), weights, options.device, f"CLIP in {ckpt_dir}")


def load_vae(ckpt_dir: Path, options: LoadOptions) -> AutoencoderKLWan:
    """Loads the VAE. Raises as `load_components`."""
    if _is_prepared(ckpt_dir):
        config, tensors = (
            read_config(ckpt_dir / "vae"),
            read_prepared(ckpt_dir / "vae" / WEIGHTS_FILE, options),
        )
    else:
        file = ckpt_dir / VAE_FILE
        config, tensors = vae_config(original_shapes(file, place_vae)), read_original(file, place_vae)
    weights = ((key, tensor.to(options.device, torch.float32)) for key, tensor in tensors)
    return fill_model(partial(AutoencoderKLWan, **config), weights, options.device, f"the VAE in {ckpt_dir}")


def load_speech_encoder(wav2vec_dir: Path, options: LoadOptions) -> Wav2Vec2Model:
    """Loads wav2vec 2.0. Raises as `load_components`."""
    tensors = read_original(wav2vec_dir / "model.safetensors", place_wav2vec2)
    weights = ((key, tensor.to(options.device, torch.float32)) for key, tensor in tensors)
    config = Wav2Vec2Config.from_pretrained(wav2vec_dir)
    return fill_model(
        partial(Wav2Vec2Model, config), weights, options.device, f"wav2vec 2.0 in {wav2vec_dir}"
    )


def _is_prepared(ckpt_dir: Path) -> bool:
    # Beside a merged transformer the base's own is not there.
    if any((ckpt_dir / part / "config.json").is_file() for part in ("transformer", "vae")):
        return True
    if (ckpt_dir / "config.json").is_file():
        return False
    raise NotAFileError(f"{ckpt_dir} holds no Wan 2.1 checkpoint, neither prepared nor as downloaded")


def _base_files(ckpt_dir: Path) -> list[Path]:
    folder = ckpt_dir / "transformer" if _is_prepared(ckpt_dir) else ckpt_dir
    return [folder / name for name in shard_names([folder])]


def _base_config(ckpt_dir: Path) -> dict[str, Any]:
    if _is_prepared(ckpt_dir):
        return read_config(ckpt_dir / "transformer")
    return transformer_config(json.loads((ckpt_dir / "config.json").read_text()), _original_shapes(ckpt_dir))


def _merged_config(folder: Path, wav2vec_dir: Path) -> dict[str, Any]:
    if _is_prepared(folder):
        return read_config(folder / "transformer")
    speech = Wav2Vec2Config.from_pretrained(wav2vec_dir)
    return {**_base_config(folder), **audio_config(_original_shapes(folder), speech)}


def _original_shapes(ckpt_dir: Path) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _base_files(ckpt_dir):
        shapes |= original_shapes(file, place_transformer)
    return shapes
