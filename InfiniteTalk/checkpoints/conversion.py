"""Turns the downloads into a prepared checkpoint, which loads fast and takes half or a quarter of the room.

    python -m InfiniteTalk.checkpoints.conversion --ckpt_dir … --wav2vec_dir … --single … DESTINATION

The prepared tree keeps the hub's names. The base is there once; the audio layers for one and for two speakers
and each LoRA lie beside it:

    Wan2.1-I2V-14B-480P/{transformer,text_encoder,tokenizer,image_encoder,vae}/
    InfiniteTalk/{single,multi}/   InfiniteTalk/lora/
    chinese-wav2vec2-base/
    SoulX-FlashTalk-14B/transformer/

It is made in steps, each of one source file, the only one then in memory. A step that was killed left nothing
behind and is run again; one that is done is not. A source is needed by one step only, so it may be deleted
afterwards, and need not be there before. Steps are run in the order of the plan.
"""

import argparse
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import CLIPVisionModel, UMT5EncoderModel, Wav2Vec2Config, Wav2Vec2Model

from InfiniteTalk.checkpoints.completeness import needed_shapes, require_complete
from InfiniteTalk.checkpoints.key_maps import is_audio_key
from InfiniteTalk.checkpoints.lora_files import named_by_file, read_lora, save_lora
from InfiniteTalk.checkpoints.model_configs import (
    audio_config,
    clip_config,
    read_config,
    save_config,
    t5_config,
    transformer_config,
    vae_config,
)
from InfiniteTalk.checkpoints.original_checkpoint import (
    CLIP_FILE,
    SPEAKERS,
    T5_FILE,
    TOKENIZER_FOLDER,
    VAE_FILE,
    OriginalCheckpoint,
    original_shapes,
    place_clip,
    place_t5,
    place_transformer,
    place_vae,
    place_wav2vec2,
    read_original,
    shard_names,
)
from InfiniteTalk.checkpoints.precision import Precision, stored
from InfiniteTalk.checkpoints.weight_files import open_weights, replacing, save_weights
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

logger = logging.getLogger(__name__)

BASE_FOLDER = "Wan2.1-I2V-14B-480P"
AUDIO_FOLDER = "InfiniteTalk"
LORA_FOLDER = "InfiniteTalk/lora"
WAV2VEC2_FOLDER = "chinese-wav2vec2-base"
FLASHTALK_FOLDER = "SoulX-FlashTalk-14B"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
NOTE_FILE = "prepared.json"
INDEX_FILE = f"{WEIGHTS_FILE}.index.json"

Tensors = dict[str, torch.Tensor]


class PrecisionMismatchError(ValueError):
    """The destination holds a checkpoint of another precision."""


@dataclass(frozen=True)
class ConversionStep:
    """One step of a plan.

    Attributes:
        title: What it makes, for people.
        sources: What it reads; no other step does.
        output: What it writes last, whole or not at all.
    """

    title: str
    sources: tuple[Path, ...]
    output: Path
    convert: Callable[[], None]

    @property
    def is_done(self) -> bool:
        """Whether the step has been run, by this process or an earlier one."""
        return self.output.exists()

    def run(self) -> None:
        """Runs the step, unless it is done.

        Raises:
            WeightFileError: A source cannot be used.
            UnknownKeysError: A source has weights that the model has no place for.
            IncompleteModelError: The weights are not those of the model.
            LoraError: A LoRA that is none.
        """
        if not self.is_done:
            logger.info("converting %s", self.title)
            self.convert()


def plan_conversion(
    original: OriginalCheckpoint, destination: Path, precision: Precision
) -> list[ConversionStep]:
    """Lists the steps from the downloads to a prepared checkpoint below `destination`.

    Nothing is read but the names of the transformer's shards. Sources that are missing are missed by the step
    that reads them; a step that is done needs them no more.

    Raises:
        NotAFileError: Neither the shards nor the list of them are there, so that their number is unknown.
        PrecisionMismatchError: `destination` was begun with another precision.
    """
    base, note = destination / BASE_FOLDER, destination / NOTE_FILE
    _require_same_precision(note, precision)
    return [
        ConversionStep(f"precision {precision}", (), note, partial(_note_precision, note, precision)),
        *_base_steps(original, base / "transformer", precision),
        *_encoder_steps(original, base, precision),
        _wav2vec2_step(original.wav2vec_dir, destination / WAV2VEC2_FOLDER),
        *_flashtalk_steps(original, destination, precision),
        *_audio_steps(original, destination, precision),
        *_lora_steps(original.loras, destination / LORA_FOLDER),
    ]


def is_transformer_whole(folder: Path) -> bool:
    """Whether the prepared transformer of a model's folder has all of its shards: its index comes last."""
    return (folder / "transformer" / INDEX_FILE).is_file()


def convert(original: OriginalCheckpoint, destination: Path, precision: Precision) -> None:
    """Runs all steps of `plan_conversion` that are not done; the sources are kept. Raises what they raise."""
    for step in plan_conversion(original, destination, precision):
        step.run()


# ---- The transformers --------------------------------------------------------------------------------------


def _base_steps(original: OriginalCheckpoint, folder: Path, precision: Precision) -> Iterator[ConversionStep]:
    """The base that audio layers are added to; beside a merged transformer it isn't needed by itself."""
    if original.flashtalk is not None and not original.infinitetalk:
        return
    yield from _shard_steps("transformer", original.ckpt_dir, folder, precision)
    config_file = original.ckpt_dir / "config.json"
    index = partial(_index_base, config_file, _shards(original.ckpt_dir, folder))
    yield ConversionStep("transformer, index", (config_file,), folder / INDEX_FILE, index)


def _flashtalk_steps(
    original: OriginalCheckpoint, destination: Path, precision: Precision
) -> Iterator[ConversionStep]:
    """The merged transformer; its configuration takes the prepared speech encoder's."""
    if original.flashtalk is None:
        return
    folder = destination / FLASHTALK_FOLDER / "transformer"
    yield from _shard_steps("FlashTalk's transformer", original.flashtalk, folder, precision)
    config_file = original.flashtalk / "config.json"
    shards = _shards(original.flashtalk, folder)
    index = partial(_index_merged, config_file, shards, destination / WAV2VEC2_FOLDER)
    yield ConversionStep("FlashTalk's transformer, index", (config_file,), folder / INDEX_FILE, index)


def _shard_steps(
    title: str, source_folder: Path, folder: Path, precision: Precision
) -> Iterator[ConversionStep]:
    outputs = _shards(source_folder, folder)
    for number, output in enumerate(outputs, start=1):
        source = source_folder / output.name
        convert_shard = partial(_convert_transformer_file, source, output, precision)
        yield ConversionStep(f"{title}, shard {number} of {len(outputs)}", (source,), output, convert_shard)


def _shards(source_folder: Path, folder: Path) -> list[Path]:
    return [folder / name for name in shard_names([source_folder, folder])]


def _convert_transformer_file(source: Path, output: Path, precision: Precision) -> None:
    tensors: Tensors = {}
    for key, tensor in read_original(source, place_transformer):
        tensors |= stored(key, tensor, precision, InfiniteTalkTransformer3DModel._keep_in_fp32_modules)
    save_weights(tensors, output)


def _index_base(config_file: Path, shards: list[Path]) -> None:
    config = transformer_config(json.loads(config_file.read_text()), _stored_shapes(shards))
    title = f"the base transformer ({config_file.parent})"
    _index_transformer(title, partial(WanTransformer3DModel, **config), shards)
    save_config("WanTransformer3DModel", config, shards[0].parent)


def _index_merged(config_file: Path, shards: list[Path], wav2vec_dir: Path) -> None:
    shapes = _stored_shapes(shards)
    config = transformer_config(json.loads(config_file.read_text()), shapes) | audio_config(
        shapes, Wav2Vec2Config.from_pretrained(wav2vec_dir)
    )
    title = f"the merged transformer ({config_file.parent})"
    _index_transformer(title, partial(InfiniteTalkTransformer3DModel, **config), shards)
    save_config("InfiniteTalkTransformer3DModel", config, shards[0].parent)


def _index_transformer(title: str, build: Callable[[], Any], shards: list[Path]) -> None:
    """Checks that the shards are a whole transformer, and writes their index."""
    weight_map = {key: shard.name for shard in shards for key in _stored_shapes([shard])}
    require_complete(title, _stored_shapes(shards), needed_shapes(build))
    total_size = sum(shard.stat().st_size for shard in shards)
    _write_json(
        shards[0].parent / INDEX_FILE, {"metadata": {"total_size": total_size}, "weight_map": weight_map}
    )


def _stored_shapes(shards: list[Path]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for shard in shards:
        with open_weights(shard) as file:
            shapes |= {key: file.shape(key) for key in file.names()}
    return shapes


# ---- What stands around it ---------------------------------------------------------------------------------


def _encoder_steps(
    original: OriginalCheckpoint, base: Path, precision: Precision
) -> Iterator[ConversionStep]:
    source, output = original.ckpt_dir / T5_FILE, base / "text_encoder" / "model.safetensors"
    yield ConversionStep("text encoder", (source,), output, partial(_convert_t5, source, output, precision))
    source, output = original.ckpt_dir / TOKENIZER_FOLDER, base / "tokenizer"
    yield ConversionStep("tokenizer", (source,), output, partial(_copy_folder, source, output))
    source, output = original.ckpt_dir / CLIP_FILE, base / "image_encoder" / "model.safetensors"
    yield ConversionStep("image encoder", (source,), output, partial(_convert_clip, source, output))
    source, output = original.ckpt_dir / VAE_FILE, base / "vae" / WEIGHTS_FILE
    yield ConversionStep("VAE", (source,), output, partial(_convert_vae, source, output))


def _convert_t5(source: Path, output: Path, precision: Precision) -> None:
    shapes = original_shapes(source, place_t5)
    config = t5_config(shapes)
    require_complete(str(source), shapes, needed_shapes(partial(UMT5EncoderModel, config)))
    tensors: Tensors = {}
    for key, tensor in read_original(source, place_t5):
        tensors |= stored(key, tensor, precision)
    config.save_pretrained(output.parent)
    save_weights(tensors, output)


def _convert_clip(source: Path, output: Path) -> None:
    place = place_clip(source)
    shapes = original_shapes(source, place)
    config = clip_config(shapes)
    require_complete(str(source), shapes, needed_shapes(partial(CLIPVisionModel, config)))
    config.save_pretrained(output.parent)
    save_weights({key: tensor.half() for key, tensor in read_original(source, place)}, output)


def _convert_vae(source: Path, output: Path) -> None:
    shapes = original_shapes(source, place_vae)
    config = vae_config(shapes)
    require_complete(str(source), shapes, needed_shapes(partial(AutoencoderKLWan, **config)))
    save_config("AutoencoderKLWan", config, output.parent)
    save_weights({key: tensor.float() for key, tensor in read_original(source, place_vae)}, output)


def _wav2vec2_step(source: Path, folder: Path) -> ConversionStep:
    sources = tuple(
        source / name for name in ("config.json", "preprocessor_config.json", "model.safetensors")
    )
    output = folder / "model.safetensors"
    return ConversionStep("speech encoder", sources, output, partial(_convert_wav2vec2, source, folder))


def _convert_wav2vec2(source: Path, folder: Path) -> None:
    weights = source / "model.safetensors"
    shapes = original_shapes(weights, place_wav2vec2)
    expected = needed_shapes(partial(Wav2Vec2Model, Wav2Vec2Config.from_pretrained(source)))
    require_complete(str(weights), shapes, expected)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copyfile(source / name, folder / name)
    tensors = {key: tensor.float() for key, tensor in read_original(weights, place_wav2vec2)}
    save_weights(tensors, folder / "model.safetensors")


# ---- What lies beside it: audio layers and LoRAs -----------------------------------------------------------


def _audio_steps(
    original: OriginalCheckpoint, destination: Path, precision: Precision
) -> Iterator[ConversionStep]:
    for speakers, source in original.infinitetalk.items():
        output = destination / AUDIO_FOLDER / speakers / WEIGHTS_FILE
        convert_file = partial(_convert_audio, source, output, destination, precision)
        yield ConversionStep(f"audio layers, {speakers}", (source,), output, convert_file)


def _convert_audio(source: Path, output: Path, destination: Path, precision: Precision) -> None:
    """Converts the audio layers; layers of the base that come with them win when both are loaded."""
    shapes = original_shapes(source, place_transformer)
    config = audio_config(shapes, Wav2Vec2Config.from_pretrained(destination / WAV2VEC2_FOLDER))
    base_config = read_config(destination / BASE_FOLDER / "transformer")
    expected = needed_shapes(partial(InfiniteTalkTransformer3DModel, **base_config, **config))
    needed = {key: shape for key, shape in expected.items() if is_audio_key(key) or key in shapes}
    require_complete(str(source), shapes, needed)
    save_config("InfiniteTalkTransformer3DModel", config, output.parent)
    _convert_transformer_file(source, output, precision)


def _lora_steps(loras: Mapping[str, Path], folder: Path) -> Iterator[ConversionStep]:
    for name, source in loras.items():
        output = folder / f"{name}.safetensors"
        yield ConversionStep(f"LoRA {name}", (source,), output, partial(_convert_lora, source, output))


def _convert_lora(source: Path, output: Path) -> None:
    save_lora(read_lora(source), output)


# ---- Files -------------------------------------------------------------------------------------------------


def _copy_folder(source: Path, output: Path) -> None:
    partial_copy = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial_copy, ignore_errors=True)
    shutil.copytree(source, partial_copy)
    partial_copy.replace(output)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as partial_file:
        partial_file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def _note_precision(note: Path, precision: Precision) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    _write_json(note, {"precision": precision})


def _require_same_precision(note: Path, precision: Precision) -> None:
    found = json.loads(note.read_text())["precision"] if note.is_file() else precision
    if found != precision:
        raise PrecisionMismatchError(
            f"{note.parent} is in {found}, not in {precision}; choose another folder"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m InfiniteTalk.checkpoints.conversion",
        description="Make a prepared checkpoint of the downloads; an interrupted run goes on where it was.",
    )
    parser.add_argument("destination", type=Path)
    parser.add_argument("--ckpt_dir", type=Path, required=True, help="the folder Wan2.1-I2V-14B-480P")
    parser.add_argument("--wav2vec_dir", type=Path, required=True, help="the folder chinese-wav2vec2-base")
    parser.add_argument("--single", type=Path, help="InfiniteTalk's file for one speaker")
    parser.add_argument("--multi", type=Path, help="InfiniteTalk's file for two speakers")
    parser.add_argument("--flashtalk", type=Path, help="the folder SoulX-FlashTalk-14B")
    parser.add_argument("--lora", type=Path, nargs="*", default=[], help="LoRA files")
    parser.add_argument("--precision", type=Precision, choices=list(Precision), default=Precision.BF16)
    options = parser.parse_args(arguments)
    infinitetalk = {name: path for name in SPEAKERS if (path := getattr(options, name)) is not None}
    original = OriginalCheckpoint(
        options.ckpt_dir, options.wav2vec_dir, infinitetalk, named_by_file(options.lora), options.flashtalk
    )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    convert(original, options.destination, options.precision)


if __name__ == "__main__":
    main()
