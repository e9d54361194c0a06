"""How a video is rendered; every value comes from the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from InfiniteTalk.audio import SpeechEmbeddings
from InfiniteTalk.guidance import AdaptiveProjectedGuidance, Guidance
from InfiniteTalk.schedule import TRAIN_TIMESTEPS, flow_match_timesteps
from InfiniteTalk.windows import WindowPlan


@dataclass(frozen=True)
class RenderSettings:
    """How a video is rendered.

    Attributes:
        num_inference_steps: Steps of each window.
        shift: How far the schedule is shifted towards noise; more for larger pictures. Explicit `timesteps`
            are shifted already.
        text_guidance_scale: How strongly the prompt steers; 1 saves a pass.
        audio_guidance_scale: How strongly the speech steers; 1 saves a pass.
        apg: Adaptive projected guidance instead of the plain combination.
        timesteps: Of the steps, falling, in (0, 1000], as `shift_timesteps` gives them; the last step goes to
            0. None for the published spacing, which InfiniteTalk's own weights always have in
            `reference_compat`.
        seed: Non-negative; the same seed gives the same video.
        num_frames: Frames of a window, 1 more than a multiple of 4.
        motion_frames: How many of them it shares with the window before, 1 more than a multiple of 4.
        lead_in: How many frames of the first window come before the video.
        distilled: Sample as the weights of `flashtalk` were trained: each step predicts the clean latents and
            adds fresh noise.
        color_correction_strength: 0 to leave colours alone, 1 to match those of the reference fully.
        reference_compat: Reproduce the published code where it is random or mistaken: one generator for the
            whole run, frames counted in floating point, speech encoded at once however long, the first
            picture's colours for a whole video, no pass saved, brightness rounded down. Two more are chosen
            where they are: `VideoReference` (source frames by number) and `TeaCacheConfig` (three slots by
            turns) have arguments of this name, and `PixelBox.from_reference` reads boxes its way.
    """

    num_inference_steps: int
    shift: float
    text_guidance_scale: float
    audio_guidance_scale: float
    apg: AdaptiveProjectedGuidance | None = None
    seed: int = 0
    num_frames: int = 81
    motion_frames: int = 9
    color_correction_strength: float = 1.0
    reference_compat: bool = False
    timesteps: tuple[float, ...] | None = None
    lead_in: int = 0
    distilled: bool = False

    def __post_init__(self) -> None:
        if self.num_inference_steps < 1:
            raise ValueError("a window needs at least one step")
        if self.seed < 0:
            raise ValueError("a seed must not be negative")
        if self.timesteps is not None:
            self._check_timesteps(self.timesteps)

    def _check_timesteps(self, timesteps: tuple[float, ...]) -> None:
        if self.reference_compat and not self.distilled:
            raise ValueError("reference_compat has the published spacing of timesteps, no other")
        if len(timesteps) != self.num_inference_steps:
            raise ValueError(f"{len(timesteps)} timesteps for {self.num_inference_steps} steps")
        if not all(0 < timestep <= TRAIN_TIMESTEPS for timestep in timesteps):
            raise ValueError(f"timesteps must be above 0 and at most {TRAIN_TIMESTEPS}")
        if any(later >= earlier for earlier, later in pairwise(timesteps)):
            raise ValueError("timesteps must fall from step to step")

    @property
    def guidance(self) -> Guidance:
        every_pass = self.reference_compat and not self.distilled
        return Guidance(self.text_guidance_scale, self.audio_guidance_scale, self.apg, every_pass)

    @property
    def schedule(self) -> torch.Tensor:
        """Timesteps of the steps and a final 0, float32 [num_inference_steps + 1]."""
        if self.timesteps is None:
            return flow_match_timesteps(self.num_inference_steps, self.shift)
        return torch.tensor([*self.timesteps, 0.0], dtype=torch.float32)

    def plan(self, video_frames: int) -> WindowPlan:
        """The windows of a video of this length."""
        return WindowPlan(video_frames, self.num_frames, self.motion_frames, self.lead_in)


@dataclass(frozen=True)
class Precomputed:
    """What is handed in instead of being drawn or encoded, to replay a recorded run or to save work.

    Attributes:
        prompt_embeds: [1, n, width].
        negative_prompt_embeds: [1, n, width].
        audio_embeds: One for each speaker, [L, layers, width]; the video is as long as the longest.
        image_embeds: [1, 257, width] by index of the window; for a still that of window 0 is for all.
        reference_latents: [1, 16, T, h, w], likewise.
        initial_noise: [1, 16, T, h, w] by index of the window.
    """

    prompt_embeds: torch.Tensor | None = None
    negative_prompt_embeds: torch.Tensor | None = None
    audio_embeds: Sequence[SpeechEmbeddings] = ()
    image_embeds: Mapping[int, torch.Tensor] = field(default_factory=dict)
    reference_latents: Mapping[int, torch.Tensor] = field(default_factory=dict)
    initial_noise: Mapping[int, torch.Tensor] = field(default_factory=dict)

    def require_used(self, windows: int, *, still: bool) -> None:
        """Check that everything handed in has a window that uses it.

        Args:
            windows: How many windows the video has.
            still: Whether the reference is a still, which is encoded for window 0 alone.

        Raises:
            ValueError: A tensor belongs to a window that doesn't use it.
        """
        for name, tensors in (
            ("image_embeds", self.image_embeds),
            ("reference_latents", self.reference_latents),
            ("initial_noise", self.initial_noise),
        ):
            count = 1 if still and name != "initial_noise" else windows
            if unused := sorted(set(tensors) - set(range(count))):
                raise ValueError(f"{name}: windows {unused} use none; those that do are 0 to {count - 1}")
