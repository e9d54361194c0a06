"""One window from its start to its frames: picture, speech, sampling, decoding, colours, the next start."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy.typing as npt
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from transformers import CLIPVisionModel

from InfiniteTalk.audio import SpeechEmbeddings, audio_windows
from InfiniteTalk.color import match_color
from InfiniteTalk.conditioning import encode_image, reference_latents
from InfiniteTalk.latents import decode_latents, encode_frames
from InfiniteTalk.reference import Reference
from InfiniteTalk.sampling import WindowConditions, WindowSampler
from InfiniteTalk.settings import Precomputed, RenderSettings
from InfiniteTalk.sizes import Size, resize_image
from InfiniteTalk.states import StepState, WindowState
from InfiniteTalk.windows import WindowPlan

OutputType = Literal["uint8", "float32"]


@dataclass(frozen=True)
class Window:
    """The new frames of one window.

    Attributes:
        index: 0 for the first.
        frames: RGB [n, H, W, 3]: uint8, or float32 in [-1, 1] if asked for.
        state: What the next window starts from; None if this is the last.
    """

    index: int
    frames: npt.NDArray[Any]
    state: WindowState | None


@dataclass(frozen=True)
class Picture:
    """The reference picture of a window as the models see it.

    Attributes:
        pixels: [1, 3, 1, H, W] in [-1, 1].
        latents: Of the picture followed by grey, [1, 16, T, h, w].
        image_embeds: [1, 257, width].
    """

    pixels: torch.Tensor
    latents: torch.Tensor
    image_embeds: torch.Tensor


@dataclass(frozen=True)
class Job:
    """One video to render.

    Attributes:
        reference: What it shows.
        size: Its size.
        plan: Its windows.
        speech: Embeddings of one or two speakers.
        speaker_masks: [3, h, w] for two speakers.
        settings: How to render it.
        given: What isn't to be encoded or drawn.
    """

    reference: Reference
    size: Size
    plan: WindowPlan
    speech: Sequence[SpeechEmbeddings]
    speaker_masks: torch.Tensor | None
    settings: RenderSettings
    given: Precomputed


class WindowRenderer:
    """Renders the windows of a video, each from the state that the one before it left.

    The colours of every window are matched to those of its own reference picture: for a still the same
    throughout, so that small shifts don't add up; for a video the one of that moment, so that a change of
    light or of scene in it isn't undone.

    Args:
        vae: Wan's VAE.
        image_encoder: CLIP's vision half without its last block.
        sampler: Samples the latents.
        job: The video.
        device: Where tensors are put for the models.
        output_type: What frames are returned as.
    """

    def __init__(
        self,
        vae: AutoencoderKLWan,
        image_encoder: CLIPVisionModel,
        sampler: WindowSampler,
        job: Job,
        device: torch.device,
        output_type: OutputType = "uint8",
    ) -> None:
        job.given.require_used(len(job.plan), still=job.reference.is_still)
        self.vae = vae
        self.image_encoder = image_encoder
        self.sampler = sampler
        self.job = job
        self.device = device
        self.output_type = output_type
        self._last_picture: tuple[int, Picture] | None = None

    def render(self, start: WindowState | StepState) -> Window:
        """Render one window, or what is left of it.

        Raises:
            RenderStopped: The sampler's callback asked for it.
            ValueError: The video has no such window.
        """
        window = start.window if isinstance(start, StepState) else start
        if window.index >= len(self.job.plan):
            raise ValueError(f"the video has {len(self.job.plan)} windows, none of index {window.index}")
        picture = self._picture(window.index)
        conditions = self._conditions(window, picture)
        latents = self.sampler.sample(self._first_step(start, conditions), conditions)
        frames = self._correct_colors(decode_latents(self.vae, latents), picture)
        new = frames[:, :, self.job.plan.new_frames(window.index)]
        return Window(window.index, self._output(new), self._next_state(window.index, frames))

    def _conditions(self, window: WindowState, picture: Picture) -> WindowConditions:
        job = self.job
        motion = picture.latents[:, :, :1] if window.motion_latents is None else window.motion_latents
        start, mirror_end = self._speech_start(window.index), not job.settings.distilled
        speech = audio_windows(job.speech, start, job.plan.num_frames, mirror_end=mirror_end)
        return WindowConditions(
            reference_latents=picture.latents,
            image_embeds=picture.image_embeds,
            audio_windows=speech.to(self.device),
            motion_latents=motion.to(self.device),
            speaker_masks=None if job.speaker_masks is None else job.speaker_masks.to(self.device),
            new_picture=not job.reference.is_still,
        )

    def _speech_start(self, index: int) -> int:
        """The frame of speech that the first frame of a window is rendered with.

        The publisher of the weights that have a lead-in lets the speech begin with it, too late by as much.
        """
        start = self.job.plan.start(index)
        return start + self.job.plan.lead_in if self.job.settings.reference_compat else start

    def _first_step(self, start: WindowState | StepState, conditions: WindowConditions) -> StepState:
        """The step to begin with: where the window was left, or noise."""
        noise = self.sampler.solver.noise
        noise.restore(start.generator_state)
        if isinstance(start, StepState):
            return start
        shape, motion_shape = conditions.reference_latents.shape, conditions.motion_latents.shape
        drawn = noise.begin_window(start.index, shape, motion_shape)
        return StepState(start, 0, self.job.given.initial_noise.get(start.index, drawn))

    def _correct_colors(self, frames: torch.Tensor, picture: Picture) -> torch.Tensor:
        settings = self.job.settings
        if settings.color_correction_strength == 0:
            return frames
        reference = self._first_pixels if settings.reference_compat else picture.pixels
        return match_color(frames, reference, settings.color_correction_strength)

    def _next_state(self, index: int, frames: torch.Tensor) -> WindowState | None:
        if index == len(self.job.plan) - 1:
            return None
        motion = encode_frames(self.vae, frames[:, :, -self.job.plan.motion_frames :])
        return WindowState(index + 1, motion.cpu(), self.sampler.solver.noise.state)

    def _output(self, frames: torch.Tensor) -> npt.NDArray[Any]:
        """Frames [1, 3, n, H, W] → [n, H, W, 3]."""
        pixels = frames[0].permute(1, 2, 3, 0)
        if self.output_type == "float32":
            return pixels.contiguous().cpu().numpy()
        levels = (pixels + 1) / 2 * 255
        if not self.job.settings.reference_compat:
            levels = levels.round()
        return levels.clamp(0, 255).to(torch.uint8).contiguous().cpu().numpy()

    def _picture(self, index: int) -> Picture:
        """The picture of a window; a still is encoded once."""
        moment = 0 if self.job.reference.is_still else index
        if self._last_picture is None or self._last_picture[0] != moment:
            self._last_picture = (moment, self._encode_picture(moment))
        return self._last_picture[1]

    def _encode_picture(self, index: int) -> Picture:
        given, pixels = self.job.given, self._pixels(index)
        latents = given.reference_latents.get(index)
        if latents is None:
            latents = reference_latents(self.vae, pixels, self.job.plan.num_frames)
        image_embeds = given.image_embeds.get(index)
        if image_embeds is None:
            image_embeds = encode_image(self.image_encoder, pixels)
        return Picture(pixels, latents.to(self.device), image_embeds.to(self.device))

    def _pixels(self, index: int) -> torch.Tensor:
        frame = self.job.reference.frame(self.job.plan.start(index))
        return resize_image(frame, self.job.size).to(self.device)

    @cached_property
    def _first_pixels(self) -> torch.Tensor:
        return self._pixels(0)
