"""The models of a prepared checkpoint, loaded to where their placement wants them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from transformers import UMT5EncoderModel, Wav2Vec2FeatureExtractor

from gpu_worker.contract.presets import PRESETS, PresetName, Weights
from gpu_worker.contract.setups import Precision as SetupPrecision
from gpu_worker.contract.setups import Setup
from gpu_worker.engines.infinitetalk.devices import Device
from gpu_worker.engines.infinitetalk.placement import (
    ModelBytes,
    Placement,
    resident_parameters,
)
from InfiniteTalk.checkpoints.audio_layers import find_audio_file, load_audio_layers, replace_layers
from InfiniteTalk.checkpoints.conversion import (
    BASE_FOLDER,
    FLASHTALK_FOLDER,
    NOTE_FILE,
    is_transformer_whole,
)
from InfiniteTalk.checkpoints.loading import (
    Components,
    load_image_encoder,
    load_speech_encoder,
    load_text_encoder,
    load_tokenizer,
    load_transformer,
    load_vae,
)
from InfiniteTalk.checkpoints.lora import LoraSwitch
from InfiniteTalk.checkpoints.lora_files import read_lora
from InfiniteTalk.checkpoints.offloading import keep_resident, offload_text_encoder
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.original_checkpoint import Speakers
from InfiniteTalk.checkpoints.precision import Precision
from InfiniteTalk.conditioning import encode_prompt
from InfiniteTalk.pipeline import InfiniteTalkPipeline


@dataclass(frozen=True)
class PreparedModels:
    """A prepared checkpoint on disk.

    Attributes:
        folder: Where it lies, under the hub's names.
        device: Where it computes.
    """

    folder: Path
    device: Device

    @property
    def paths(self) -> CheckpointPaths:
        return CheckpointPaths.below(self.folder)

    def _paths_of(self, weights: Weights) -> CheckpointPaths:
        return CheckpointPaths.flashtalk_below(self.folder) if weights is Weights.TURBO else self.paths

    @property
    def precision(self) -> Precision:
        return Precision(json.loads((self.folder / NOTE_FILE).read_text())["precision"])

    @property
    def presets(self) -> frozenset[PresetName]:
        """Those whose weights are there."""
        loras = {path.stem for path in self.paths.loras}
        installed = {
            Weights.STANDARD: is_transformer_whole(self.folder / BASE_FOLDER),
            Weights.TURBO: is_transformer_whole(self.folder / FLASHTALK_FOLDER),
        }
        return frozenset(
            name
            for name, preset in PRESETS.items()
            if installed[preset.weights] and (preset.lora is None or preset.lora in loras)
        )

    def size(self, speakers: Speakers, weights: Weights = Weights.STANDARD) -> ModelBytes:
        """How much memory the weights take."""
        base, paths = self.folder / BASE_FOLDER, self._paths_of(weights)
        if paths.merged is not None:
            transformer = _bytes_below(paths.merged / "transformer")
        else:
            audio = find_audio_file(paths.infinitetalk, speakers).stat().st_size
            loras = sum(path.stat().st_size for path in paths.loras)
            transformer = _bytes_below(base / "transformer") + audio + loras
        return ModelBytes(
            transformer=transformer,
            text_encoder=_bytes_below(base / "text_encoder"),
            others=_bytes_below(base / "image_encoder")
            + _bytes_below(base / "vae")
            + _bytes_below(paths.wav2vec_dir),
        )

    @property
    def setup(self) -> Setup:
        """How the device computes with them."""
        if self.precision is Precision.BF16:
            return Setup(SetupPrecision.BF16)
        return Setup(SetupPrecision.FP8_COMPUTE if self.device.multiplies_float8 else SetupPrecision.FP8)

    def load(
        self, speakers: Speakers, placement: Placement, room: int, weights: Weights = Weights.STANDARD
    ) -> "LoadedModels":
        """Load everything for one or two speakers.

        Args:
            speakers: Whose audio layers.
            placement: Where the models go.
            room: Bytes of the device's memory that are left for rendering.
            weights: Which transformer; the distilled one has audio layers for one speaker.

        Raises:
            WeightFileError: A file is missing or damaged.
            UnknownKeysError: A file holds weights of another model.
            IncompleteModelError: Weights lack, are too many, or have another shape.
            LoraError: A LoRA that does not fit.
        """
        near = self._options(self.device.torch_device)
        host = self._options(torch.device("cpu"))
        transformer_at = host if placement.offloads_transformer else near
        text_encoder_at = near if placement is Placement.RESIDENT else host
        paths = self._paths_of(weights)
        transformer = load_transformer(paths, speakers, transformer_at)
        loras = [read_lora(path) for path in paths.loras]
        components = Components(
            transformer=transformer,
            vae=load_vae(paths.ckpt_dir, near),
            text_encoder=None,  # Loaded when a prompt has to be embedded.
            tokenizer=load_tokenizer(paths.ckpt_dir),
            image_encoder=load_image_encoder(paths.ckpt_dir, near),
            wav2vec2=load_speech_encoder(paths.wav2vec_dir, near),
            feature_extractor=Wav2Vec2FeatureExtractor.from_pretrained(paths.wav2vec_dir),
            loras=LoraSwitch(transformer, loras, near.torch_dtype),
        )
        bytes_per_parameter = 1 if self.precision is Precision.FP8 else 2
        return LoadedModels(
            components,
            speakers,
            weights,
            placement,
            self.device,
            bytes_per_parameter,
            room,
            partial(load_text_encoder, paths.ckpt_dir, text_encoder_at),
        )

    def exchange_audio_layers(self, models: "LoadedModels", speakers: Speakers) -> None:
        """Give models the audio layers for another number of speakers; the base is neither read nor moved.

        The layers that are replaced stay in memory if the device has room for both sets.

        Raises:
            WeightFileError: The file is missing or damaged.
            UnknownKeysError: It holds weights of another model.
            IncompleteModelError: Its weights don't fit the base.
        """
        layers = models.spare_audio_layers
        if layers is None:
            layers = load_audio_layers(self.paths, speakers, self._options(torch.device("cpu")))
        replaced = replace_layers(models.pipeline.transformer, layers)
        size = find_audio_file(self.paths.infinitetalk, models.speakers).stat().st_size
        memory = self.device.memory()
        has_room = memory is None or memory.free >= size + models.room
        models.spare_audio_layers = replaced if has_room else None
        models.speakers = speakers

    def _options(self, device: torch.device) -> LoadOptions:
        return LoadOptions(device, self.device.dtype, float8_activations=self.device.multiplies_float8)


class LoadedModels:
    """The models in memory, and the pipeline that they make.

    Prompts are embedded here, so the pipeline is made without the text encoder: where that is has no
    bearing on where the pipeline computes.

    Attributes:
        speakers: Whose audio layers the transformer has.
        weights: Which transformer it is.
        spare_audio_layers: The other ones, where there is room for both.
        room: Bytes of the device's memory that are left to work in.
    """

    def __init__(
        self,
        components: Components,
        speakers: Speakers,
        weights: Weights,
        placement: Placement,
        device: Device,
        bytes_per_parameter: int,
        room: int,
        load_text_encoder: Callable[[], UMT5EncoderModel],
    ) -> None:
        self.speakers = speakers
        self.weights = weights
        self.spare_audio_layers: dict[str, torch.Tensor] | None = None
        self.placement = placement
        self.room = room
        self.loras = components.loras
        self.pipeline = InfiniteTalkPipeline.from_components(components)
        self._load_text_encoder, self._tokenizer = load_text_encoder, components.tokenizer
        self._device = device
        if placement.offloads_transformer:
            self._offload(bytes_per_parameter, room)

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> torch.Tensor:
        """T5's embedding of a prompt, [1, n, width], on the host."""
        text_encoder, device = self._text_encoder, self._device.torch_device
        moves = self.placement is Placement.TEXT_ENCODER_ON_HOST
        if moves:
            text_encoder.to(device)
        embeds = encode_prompt(text_encoder, self._tokenizer, prompt, device).cpu()
        if moves:
            text_encoder.to("cpu")
        return embeds

    @cached_property
    def _text_encoder(self) -> UMT5EncoderModel:
        """T5, read when the first prompt has to be embedded: prompts that are cached need none."""
        text_encoder = self._load_text_encoder()
        if self.placement.offloads_transformer:
            device, use_stream = self._device.torch_device, self._device.has_streams
            offload_text_encoder(text_encoder, device, use_stream=use_stream)
        return text_encoder

    def leave_room(self, room: int) -> None:
        """Work with larger windows: audio layers that aren't in use are read again when needed."""
        self.room, self.spare_audio_layers = room, None

    def _offload(self, bytes_per_parameter: int, room: int) -> None:
        """Let blocks come to the GPU while the ones before compute, over a stream of their own."""
        resident, memory = 0, self._device.memory()
        if self.placement is Placement.PARTLY_OFFLOADED and memory is not None:
            resident = resident_parameters(memory.free, bytes_per_parameter, room)
        device, use_stream = self._device.torch_device, self._device.has_streams
        keep_resident(self.pipeline.transformer, resident, device, use_stream=use_stream)


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
