"""InfiniteTalk as a pipeline: reference picture and speech in, windows of video out, one by one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from transformers import (
    CLIPVisionModel,
    PreTrainedTokenizerBase,
    UMT5EncoderModel,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

from InfiniteTalk.audio import SpeakingOrder, Speech, SpeechEmbeddings, combine_speakers
from InfiniteTalk.checkpoints.loading import Components, load_components
from InfiniteTalk.checkpoints.lora import LoraSwitch
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.original_checkpoint import Speakers
from InfiniteTalk.conditioning import (
    NEGATIVE_PROMPT,
    PixelBox,
    SpeakerBox,
    encode_prompt,
    half_picture_boxes,
    speaker_masks,
)
from InfiniteTalk.loudness import normalize_loudness
from InfiniteTalk.noise import ReferenceNoise, SequentialNoise, WindowNoise
from InfiniteTalk.reference import Reference
from InfiniteTalk.rendering import Job, OutputType, Window, WindowRenderer
from InfiniteTalk.sampling import StepCallback, WindowSampler
from InfiniteTalk.settings import Precomputed, RenderSettings
from InfiniteTalk.sizes import BUCKETS, Resolution, Size, choose_bucket
from InfiniteTalk.solvers import ConsistencySolver, EulerSolver, Solver
from InfiniteTalk.speech_encoding import embed_speech
from InfiniteTalk.states import StepState, WindowState
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel
from InfiniteTalk.windows import video_length

PIXELS_PER_TOKEN = 16


class InfiniteTalkPipeline(DiffusionPipeline):
    """Renders a talking video window by window.

    An ordinary diffusers pipeline in all that concerns its models: `to`, `enable_model_cpu_offload`,
    `enable_group_offload` and the VAE's tiling work. The speech encoder computes where it is. Encoders and
    tokenizer may be None where `stream` is given all that they would encode.

    Args:
        transformer: InfiniteTalk's transformer, with the audio layers for one or for two speakers.
        vae: Wan's VAE.
        text_encoder: T5's encoder half.
        tokenizer: T5's.
        image_encoder: CLIP's vision half without its last block.
        wav2vec2: The speech encoder.
        feature_extractor: The speech encoder's.
    """

    loras: LoraSwitch | None = None
    """The LoRAs that were loaded with the models, all off until it switches them on."""

    model_cpu_offload_seq = "text_encoder->image_encoder->transformer->vae"
    _exclude_from_cpu_offload = ["wav2vec2"]

    def __init__(
        self,
        transformer: InfiniteTalkTransformer3DModel,
        vae: AutoencoderKLWan,
        text_encoder: UMT5EncoderModel,
        tokenizer: PreTrainedTokenizerBase,
        image_encoder: CLIPVisionModel,
        wav2vec2: Wav2Vec2Model,
        feature_extractor: Wav2Vec2FeatureExtractor,
    ) -> None:
        super().__init__()
        self.register_modules(
            transformer=transformer,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            image_encoder=image_encoder,
            wav2vec2=wav2vec2,
            feature_extractor=feature_extractor,
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        speakers: Speakers = "single",
        options: LoadOptions | None = None,
    ) -> Self:
        """Load all models from a folder under the hub's names, prepared or as downloaded.

        Args:
            pretrained_model_name_or_path: The folder.
            speakers: Whose audio layers: `single` or `multi`.
            options: Device, number type and quantisation.

        Raises:
            As `loading.load_components`.
        """
        paths = CheckpointPaths.below(Path(pretrained_model_name_or_path))
        return cls.from_components(load_components(paths, speakers, options))

    @classmethod
    def from_components(cls, components: Components) -> Self:
        """A pipeline of models that are loaded already."""
        pipeline = cls(
            transformer=components.transformer,
            vae=components.vae,
            text_encoder=components.text_encoder,
            tokenizer=components.tokenizer,
            image_encoder=components.image_encoder,
            wav2vec2=components.wav2vec2,
            feature_extractor=components.feature_extractor,
        )
        pipeline.loras = components.loras
        return pipeline

    @torch.no_grad()
    def stream(
        self,
        *,
        reference: Reference,
        speech: Sequence[Speech | None],
        prompt: str,
        settings: RenderSettings,
        resolution: Resolution | Size = "480p",
        negative_prompt: str = NEGATIVE_PROMPT,
        speaking_order: SpeakingOrder = "together",
        boxes: Sequence[SpeakerBox | PixelBox] = (),
        video_frames: int | None = None,
        resume_from: WindowState | StepState | None = None,
        callback: StepCallback | None = None,
        given: Precomputed | None = None,
        output_type: OutputType = "uint8",
    ) -> Iterator[Window]:
        """Render the video's windows in order. Only one of them is held in memory at a time.

        Whatever was rendered before `resume_from` must have been rendered with the same arguments; then the
        frames are those of a render without a break, to the bit.

        Args:
            reference: What the video shows.
            speech: What one or two people say, mono at 16 kHz, at any loudness; None for one who is silent.
            prompt: What happens.
            settings: How to render.
            resolution: Which bucket sizes to choose from, or the size itself (multiples of 16).
            negative_prompt: What shall not be seen; read only where `text_guidance_scale` isn't 1.
            speaking_order: How the speech of two people follows on each other.
            boxes: Where two people are; by default one in each half of the picture.
            video_frames: Length of the video at 25 frames a second; by default as many as cover the speech.
            resume_from: Where an earlier render stopped.
            callback: Called after each step; it may raise `StopSampling`.
            given: Tensors to use instead of encoding or drawing them. With `audio_embeds` no speech is
                needed.
            output_type: `float32` for frames before they are rounded.

        Yields:
            The windows from `resume_from` on.

        Raises:
            RenderStopped: The callback asked for it.
            ValueError: Arguments that do not fit each other.
        """
        given = given or Precomputed()
        voices = [] if len(given.audio_embeds) else self._voices(speech, speaking_order)
        embeddings = self._embed(voices, settings) if voices else given.audio_embeds
        size = self._size(reference, resolution)
        if video_frames is None:
            video_frames = self._video_frames(voices, embeddings, settings)
        job = Job(
            reference=reference,
            size=size,
            plan=settings.plan(video_frames),
            speech=embeddings,
            speaker_masks=self._speaker_masks(boxes, reference, size) if len(embeddings) == 2 else None,
            settings=settings,
            given=given,
        )
        sampler = self._sampler(prompt, negative_prompt, settings, given, callback)
        renderer = WindowRenderer(
            self.vae, self.image_encoder, sampler, job, self._execution_device, output_type
        )
        try:
            yield from self._windows(renderer, resume_from or WindowState(0))
        finally:
            self.maybe_free_model_hooks()

    @staticmethod
    def _windows(renderer: WindowRenderer, start: WindowState | StepState) -> Iterator[Window]:
        state: WindowState | StepState | None = start
        while state is not None:
            window = renderer.render(state)
            state = window.state
            yield window

    @staticmethod
    def _voices(speech: Sequence[Speech | None], order: SpeakingOrder) -> Sequence[Speech]:
        """The speech of each speaker at the same loudness, on one time line."""
        voices = [None if voice is None else normalize_loudness(voice) for voice in speech]
        match voices:
            case [voice] if voice is not None:
                return [voice]
            case [first, second]:
                return combine_speakers(first, second, order)
        raise ValueError("one or two people must speak")

    def _embed(self, voices: Sequence[Speech], settings: RenderSettings) -> Sequence[SpeechEmbeddings]:
        return [
            embed_speech(
                voice, self.wav2vec2, self.feature_extractor, reference_compat=settings.reference_compat
            )
            for voice in voices
        ]

    @staticmethod
    def _video_frames(
        voices: Sequence[Speech], embeddings: Sequence[SpeechEmbeddings], settings: RenderSettings
    ) -> int:
        if voices:
            return video_length(len(voices[0]), settings.reference_compat)
        return max(map(len, embeddings))

    @staticmethod
    def _size(reference: Reference, resolution: Resolution | Size) -> Size:
        if not isinstance(resolution, Size):
            return choose_bucket(reference.size, BUCKETS[resolution])
        if resolution.height % PIXELS_PER_TOKEN or resolution.width % PIXELS_PER_TOKEN:
            raise ValueError(f"height and width must be multiples of {PIXELS_PER_TOKEN}, not {resolution}")
        return resolution

    def _speaker_masks(
        self, boxes: Sequence[SpeakerBox | PixelBox], reference: Reference, size: Size
    ) -> torch.Tensor:
        if len(boxes) not in (0, 2):
            raise ValueError(f"two speakers need two boxes or none, not {len(boxes)}")
        in_pixels = [
            box.in_pixels(reference.size) if isinstance(box, SpeakerBox) else box for box in boxes
        ] or half_picture_boxes(reference.size)
        return speaker_masks(in_pixels, reference.size, size)

    def _sampler(
        self,
        prompt: str,
        negative_prompt: str,
        settings: RenderSettings,
        given: Precomputed,
        callback: StepCallback | None,
    ) -> WindowSampler:
        guidance = settings.guidance
        negative = None
        if guidance.guides_text:
            negative = self._prompt_embeds(negative_prompt, given.negative_prompt_embeds)
        return WindowSampler(
            self.transformer,
            guidance,
            self._prompt_embeds(prompt, given.prompt_embeds),
            negative,
            settings.schedule,
            self._solver(settings),
            callback,
        )

    def _prompt_embeds(self, prompt: str, given: torch.Tensor | None) -> torch.Tensor:
        device = self._execution_device
        if given is not None:
            return given.to(device)
        return encode_prompt(self.text_encoder, self.tokenizer, prompt, device)

    def _solver(self, settings: RenderSettings) -> Solver:
        seed, device = settings.seed, self._execution_device
        if settings.distilled:
            return ConsistencySolver(
                SequentialNoise(seed, device) if settings.reference_compat else WindowNoise(seed)
            )
        return EulerSolver(ReferenceNoise(seed, device) if settings.reference_compat else WindowNoise(seed))
