"""Builds the models, from a prepared checkpoint or from the downloads themselves.

Models are made without memory and then given the tensors of the files, one by one, in their final place and
number type: nothing is held twice. Where a GPU computes, prepared files are read in parallel; where a CPU
does, their tensors stay mapped, so that loading takes no time.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from transformers import (
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    UMT5Config,
    UMT5EncoderModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

from InfiniteTalk.checkpoints.completeness import parameter_shapes, require_complete
from InfiniteTalk.checkpoints.conversion import AUDIO_FOLDER, BASE_FOLDER, WAV2VEC2_FOLDER, WEIGHTS_FILE
from InfiniteTalk.checkpoints.key_maps import is_audio_key
from InfiniteTalk.checkpoints.lora import LoraSwitch
from InfiniteTalk.checkpoints.lora_files import read_lora
from InfiniteTalk.checkpoints.model_configs import (
    audio_config,
    clip_config,
    read_config,
    t5_config,
    transformer_config,
    vae_config,
)
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
from InfiniteTalk.checkpoints.parallel_reading import read_tensors
from InfiniteTalk.checkpoints.precision import (
    SCALE_SUFFIX,
    float8_weight,
    is_block_matrix,
    is_kept_in_float32,
    quantize_rows,
)
from InfiniteTalk.checkpoints.weight_files import NotAFileError, WeightFileError, open_weights
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel


class WrongSpeakersError(WeightFileError):
    """Audio layers for another number of people. The files differ in nothing but their folder."""


NamedTensors = Iterable[tuple[str, torch.Tensor]]


@dataclass(frozen=True)
class CheckpointPaths:
    """Where the weights are; each of the three may be prepared or as downloaded.

    Attributes:
        ckpt_dir: The Wan 2.1 base.
        infinitetalk: The audio layers: the file, its folder, or the folder with `single/` and `multi/`.
        wav2vec_dir: The speech encoder.
        loras: LoRA files.
    """

    ckpt_dir: Path
    infinitetalk: Path
    wav2vec_dir: Path
    loras: tuple[Path, ...] = ()

    @classmethod
    def below(cls, directory: Path) -> "CheckpointPaths":
        """Everything in one folder under the hub's names, as `conversion` leaves it, with all LoRAs there."""
        return cls(
            ckpt_dir=directory / BASE_FOLDER,
            infinitetalk=directory / AUDIO_FOLDER,
            wav2vec_dir=directory / WAV2VEC2_FOLDER,
            loras=tuple(sorted((directory / AUDIO_FOLDER / "lora").glob("*.safetensors"))),
        )


@dataclass(frozen=True)
class LoadOptions:
    """How weights are held.

    Attributes:
        device: Where they go.
        torch_dtype: What transformer and T5 compute in. CLIP follows in float16, or float32 if this is
            float32; VAE and speech encoder compute in float32.
        quantize: Round the blocks' matrices of transformer and T5 to float8, if they are not stored so.
        float8_activations: Multiply float8 matrices in float8; see `precision.float8_weight`.
    """

    device: torch.device | str = "cpu"
    torch_dtype: torch.dtype = torch.bfloat16
    quantize: bool = False
    float8_activations: bool = False


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


# ---- One model each ----------------------------------------------------------------------------------------


def load_transformer(
    paths: CheckpointPaths, speakers: Speakers, options: LoadOptions
) -> InfiniteTalkTransformer3DModel:
    """Loads the base and the audio layers into one transformer. Raises as `load_components`."""
    audio_file = find_audio_file(paths.infinitetalk, speakers)
    config = {**_base_config(paths.ckpt_dir), **_audio_config(audio_file, paths.wav2vec_dir)}
    base_files = _base_files(paths.ckpt_dir)
    prepared = [_is_prepared(paths.ckpt_dir)] * len(base_files) + [_is_prepared_file(audio_file)]
    # The audio file comes last, so that layers of the base that it also holds win.
    tensors = chain.from_iterable(
        _read_prepared(file, options) if is_prepared else read_original(file, place_transformer)
        for file, is_prepared in zip([*base_files, audio_file], prepared, strict=True)
    )
    build = partial(InfiniteTalkTransformer3DModel, **config)
    float32_modules = InfiniteTalkTransformer3DModel._keep_in_fp32_modules
    weights = _block_weights(tensors, options, float32_modules)
    return _fill(build, weights, options.device, f"the transformer in {paths.ckpt_dir}")


def load_audio_layers(
    paths: CheckpointPaths, speakers: Speakers, options: LoadOptions
) -> dict[str, torch.Tensor]:
    """Loads the weights that differ between one and two speakers, by the transformer's names for them.

    Raises:
        WeightFileError: The file is missing or cannot be used.
        UnknownKeysError: The file holds weights of another model.
    """
    file = find_audio_file(paths.infinitetalk, speakers)
    tensors = (
        _read_prepared(file, options) if _is_prepared_file(file) else read_original(file, place_transformer)
    )
    return dict(_block_weights(tensors, options, InfiniteTalkTransformer3DModel._keep_in_fp32_modules))


def replace_layers(
    transformer: InfiniteTalkTransformer3DModel, weights: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Puts weights in the place of those of the same names, each where the one before it is.

    Returns:
        The weights that were replaced.

    Raises:
        IncompleteModelError: The transformer has no such weights; nothing is replaced.
    """
    parameters = dict(transformer.named_parameters())
    replaced = {name: parameters[name].detach() for name in weights if name in parameters}
    shapes, expected = _shapes(weights), _shapes(replaced)
    require_complete("the audio layers", shapes, expected)
    placed = {name: _beside(weight, parameters[name]) for name, weight in weights.items()}
    transformer.load_state_dict(placed, strict=False, assign=True)
    return replaced


def load_text_encoder(ckpt_dir: Path, options: LoadOptions) -> UMT5EncoderModel:
    """Loads the encoder half of T5. Raises as `load_components`."""
    if _is_prepared(ckpt_dir):
        folder = ckpt_dir / "text_encoder"
        config, tensors = (
            UMT5Config.from_pretrained(folder),
            _read_prepared(folder / "model.safetensors", options),
        )
    else:
        file = ckpt_dir / T5_FILE
        config, tensors = t5_config(original_shapes(file, place_t5)), read_original(file, place_t5)
    build, weights = partial(UMT5EncoderModel, config), _block_weights(tensors, options)
    return _fill(build, weights, options.device, f"T5 in {ckpt_dir}")


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
            _read_prepared(folder / "model.safetensors", options),
        )
    else:
        place = place_clip(ckpt_dir / CLIP_FILE)
        config = clip_config(original_shapes(ckpt_dir / CLIP_FILE, place))
        tensors = read_original(ckpt_dir / CLIP_FILE, place)
    dtype = torch.float32 if options.torch_dtype == torch.float32 else torch.float16
    weights = ((key, tensor.to(options.device, dtype)) for key, tensor in tensors)
    return _fill(partial(CLIPVisionModel, config), weights, options.device, f"CLIP in {ckpt_dir}")


def load_vae(ckpt_dir: Path, options: LoadOptions) -> AutoencoderKLWan:
    """Loads the VAE. Raises as `load_components`."""
    if _is_prepared(ckpt_dir):
        config, tensors = (
            read_config(ckpt_dir / "vae"),
            _read_prepared(ckpt_dir / "vae" / WEIGHTS_FILE, options),
        )
    else:
        file = ckpt_dir / VAE_FILE
        config, tensors = vae_config(original_shapes(file, place_vae)), read_original(file, place_vae)
    weights = ((key, tensor.to(options.device, torch.float32)) for key, tensor in tensors)
    return _fill(partial(AutoencoderKLWan, **config), weights, options.device, f"the VAE in {ckpt_dir}")


def load_speech_encoder(wav2vec_dir: Path, options: LoadOptions) -> Wav2Vec2Model:
    """Loads wav2vec 2.0. Raises as `load_components`."""
    tensors = read_original(wav2vec_dir / "model.safetensors", place_wav2vec2)
    weights = ((key, tensor.to(options.device, torch.float32)) for key, tensor in tensors)
    config = Wav2Vec2Config.from_pretrained(wav2vec_dir)
    return _fill(partial(Wav2Vec2Model, config), weights, options.device, f"wav2vec 2.0 in {wav2vec_dir}")


def find_audio_file(infinitetalk: Path, speakers: Speakers) -> Path:
    """The file of the audio layers: the one given, or the one for this many speakers in the folder given.

    Raises:
        NotAFileError: The folder holds no such file.
        WrongSpeakersError: They are those for one person where two speak.
    """
    file = _find_audio_file(infinitetalk, speakers)
    if speakers == "multi" and file.parent.name == "single":
        raise WrongSpeakersError(
            f"{file.parent} holds the audio layers for one person; two people need those of "
            f"{file.parent.with_name('multi')}"
        )
    return file


def _find_audio_file(infinitetalk: Path, speakers: Speakers) -> Path:
    if not infinitetalk.is_dir():
        return infinitetalk
    folders = (infinitetalk, infinitetalk / speakers)
    for file in (folder / name for folder in folders for name in (WEIGHTS_FILE, "infinitetalk.safetensors")):
        if file.is_file():
            return file
    raise NotAFileError(f"{infinitetalk} holds no audio layers for {speakers!r}")


# ---- How ---------------------------------------------------------------------------------------------------


def _is_prepared(ckpt_dir: Path) -> bool:
    if (ckpt_dir / "transformer" / "config.json").is_file():
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
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _base_files(ckpt_dir):
        shapes |= original_shapes(file, place_transformer)
    return transformer_config(json.loads((ckpt_dir / "config.json").read_text()), shapes)


def _audio_config(audio_file: Path, wav2vec_dir: Path) -> Mapping[str, Any]:
    if _is_prepared_file(audio_file):
        return read_config(audio_file.parent)
    wav2vec2 = Wav2Vec2Config.from_pretrained(wav2vec_dir)
    return audio_config(original_shapes(audio_file, place_transformer), wav2vec2)


def _is_prepared_file(path: Path) -> bool:
    """Whether the audio layers in a file go by our names, none of which is an original one."""
    with open_weights(path) as file:
        return any(is_audio_key(name) for name in file.names())


def _read_prepared(path: Path, options: LoadOptions) -> Iterator[tuple[str, torch.Tensor]]:
    if torch.cuda.is_available():
        yield from read_tensors(path, pin_memory=torch.device(options.device).type == "cuda")
        return
    with open_weights(path) as file:
        for key in file.names():
            yield key, file.tensor(key)


def _block_weights(
    tensors: NamedTensors, options: LoadOptions, float32_modules: Sequence[str] = ()
) -> NamedTensors:
    """The weights of the transformer or T5 as they are computed with; later tensors of a name win."""
    parts: dict[str, torch.Tensor] = {}
    for key, tensor in tensors:
        whole = tensor.dtype.itemsize > 1 and not key.endswith(SCALE_SUFFIX)
        if whole and options.quantize and is_block_matrix(key, tuple(tensor.shape)):
            weight, scale = quantize_rows(tensor.to(options.device))
            parts |= {key: weight, key + SCALE_SUFFIX: scale}
        elif whole:
            kept = is_kept_in_float32(key, float32_modules)
            parts[key] = tensor.to(options.device, torch.float32 if kept else options.torch_dtype)
            parts.pop(key + SCALE_SUFFIX, None)
        else:
            parts[key] = tensor.to(options.device)
    for key, tensor in parts.items():
        if key + SCALE_SUFFIX in parts:
            yield key, _float8(tensor, parts[key + SCALE_SUFFIX], options)
        elif not key.endswith(SCALE_SUFFIX):
            yield key, tensor


def _float8(weight: torch.Tensor, scale: torch.Tensor, options: LoadOptions) -> torch.Tensor:
    return float8_weight(weight, scale, options.torch_dtype, float8_activations=options.float8_activations)


def _fill(build: Callable[[], Any], tensors: NamedTensors, device: torch.device | str, title: str) -> Any:
    """Builds a model without memory, gives it its weights and brings its buffers to where they are."""
    with init_empty_weights(include_buffers=False):
        model = build()
    _tie(model)
    weights = dict(tensors)
    require_complete(title, _shapes(weights), parameter_shapes(model))
    # The weights are all there, as was just checked; what is not named is tied to one that is.
    model.requires_grad_(False).load_state_dict(weights, strict=False, assign=True)
    _tie(model)
    _place_buffers(model, device)
    return model.eval()


def _shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def _beside(weight: torch.Tensor, other: torch.Tensor) -> torch.nn.Parameter:
    """The weight in the same memory as another: a device's, or the host's, pinned or not."""
    moved = weight.to(other.device)
    pinned = moved.pin_memory() if other.is_pinned() else moved
    return torch.nn.Parameter(pinned, requires_grad=False)


def _place_buffers(model: torch.nn.Module, device: torch.device | str) -> None:
    """Moves what no file holds: tables that a model computes when it is built, on the CPU."""
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))


def _tie(model: torch.nn.Module) -> None:
    """Makes weights that are one and the same (T5's two names of its embedding) one tensor."""
    if isinstance(model, PreTrainedModel):
        model.tie_weights()
