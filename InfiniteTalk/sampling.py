"""Sampling of one window: flow matching, step by step, with guidance and clean motion latents in front.

Shapes use: `T` latent frames of a window, `Tm` of them motion, `h, w` latent height and width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from InfiniteTalk.caching import skip_to_step, starting_steps
from InfiniteTalk.guidance import Averages, Guidance, Pass
from InfiniteTalk.solvers import Solver, StepEnd
from InfiniteTalk.states import StepState, WindowState
from InfiniteTalk.transformer import (
    InfiniteTalkContextCache,
    InfiniteTalkTransformer3DModel,
    ProjectedContext,
)


class StopSampling(Exception):  # noqa: N818 - like StopIteration it reports no error
    """Raised by a callback that wants the render to stop."""


class RenderStopped(Exception):  # noqa: N818 - it was asked for
    """A render has stopped because its callback asked for it.

    Attributes:
        state: From where it goes on: the step it stopped at, or an earlier one or the window's start where a
            cache of residuals, which isn't saved, takes part in sampling.
    """

    def __init__(self, state: WindowState | StepState) -> None:
        super().__init__("the render was asked to stop")
        self.state = state


@dataclass(frozen=True)
class StepProgress:
    """What a callback sees after each step.

    Attributes:
        window: Index of the window.
        step: How many of its steps are done.
        num_inference_steps: How many it has.
        timestep: Of the step just done, in (0, 1000].
        latents: After the step, float32 [1, 16, T, h, w], motion latents in front.
        noise_pred: The guided velocity of the step, of the same shape.
        state: Gives, on the CPU, what the render would leave if it stopped here.
    """

    window: int
    step: int
    num_inference_steps: int
    timestep: float
    latents: torch.Tensor
    noise_pred: torch.Tensor
    state: Callable[[], WindowState | StepState]


StepCallback = Callable[[StepProgress], None]
"""Called after each step; it stops the render by raising `StopSampling`."""


@dataclass(frozen=True)
class WindowConditions:
    """What a window is conditioned on, on the device that samples.

    Attributes:
        reference_latents: Of the reference picture followed by grey, [1, 16, T, h, w].
        image_embeds: CLIP's view of the picture, [1, 257, width].
        audio_windows: [P, F, 5, layers, width].
        motion_latents: [1, 16, Tm, h, w].
        speaker_masks: [3, h, w]; None for one speaker.
        new_picture: Whether picture and embeddings differ from those of the window sampled before.
    """

    reference_latents: torch.Tensor
    image_embeds: torch.Tensor
    audio_windows: torch.Tensor
    motion_latents: torch.Tensor
    speaker_masks: torch.Tensor | None
    new_picture: bool

    @property
    def mask_and_reference(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What follows the latents on the channels; in every window only the first latent frame is marked."""
        mask = torch.zeros_like(self.reference_latents[:, :4])
        mask[:, :, 0] = 1
        return mask, self.reference_latents


class WindowSampler:
    """Samples the windows of one video.

    Between steps and windows it keeps what the transformer makes of text, picture and speech, as long as they
    stay the same. LoRAs must not be switched while it is in use.

    Args:
        transformer: The model.
        guidance: Says which passes a step needs.
        prompt_embeds: [1, n, width].
        negative_prompt_embeds: Likewise; None where no pass reads it.
        timesteps: Of the steps and a final 0.
        solver: Advances the latents from step to step.
        callback: Called after each step.
    """

    def __init__(
        self,
        transformer: InfiniteTalkTransformer3DModel,
        guidance: Guidance,
        prompt_embeds: torch.Tensor,
        negative_prompt_embeds: torch.Tensor | None,
        timesteps: torch.Tensor,
        solver: Solver,
        callback: StepCallback | None = None,
    ) -> None:
        self.transformer = transformer
        self.guidance = guidance
        self.embeds = {True: prompt_embeds, False: negative_prompt_embeds}
        self.timesteps = timesteps
        self.solver = solver
        self.callback = callback
        self.image = ProjectedContext()
        self.speech = ProjectedContext()
        self.caches = self._context_caches()
        self.starting_steps = starting_steps(transformer, timesteps[:-1])

    def sample(self, start: StepState, conditions: WindowConditions) -> torch.Tensor:
        """Do the steps of a window that are left.

        Returns:
            Latents float32 [1, 16, T, h, w], motion latents in front.

        Raises:
            RenderStopped: The callback asked for it.
        """
        self._forget_last_window(conditions.new_picture)
        motion = conditions.motion_latents
        latents = start.latents.to(motion.device, copy=True)
        averages = _averages_to(start.averages, motion.device)
        resumable: WindowState | StepState = start.window
        if start.step:
            self._skip_to(start.step)
            resumable = start
        for step in range(start.step, len(self.timesteps) - 1):
            timestep, next_timestep = self.timesteps[step], self.timesteps[step + 1]
            latents[:, :, : motion.shape[2]] = motion
            noise_pred, averages = self._guided(latents, timestep, conditions, averages)
            end = StepEnd(start.window.index, step + 1, float(timestep), float(next_timestep), motion.shape)
            latents = self.solver.advance(latents, noise_pred, end)
            latents[:, :, : motion.shape[2]] = motion
            if self.starting_steps and self.starting_steps[step + 1]:
                resumable = StepState(start.window, step + 1, latents, averages, self.solver.noise.state)
            self._report(end, latents, noise_pred, resumable)
        return latents

    def _guided(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditions: WindowConditions, averages: Averages
    ) -> tuple[torch.Tensor, Averages]:
        hidden_states = torch.cat([latents, *conditions.mask_and_reference], dim=1)
        predictions = {
            kind: self._predict(kind, hidden_states, timestep, conditions) for kind in self.guidance.passes
        }
        return self.guidance.combine(predictions, averages)

    def _predict(
        self, kind: Pass, hidden_states: torch.Tensor, timestep: torch.Tensor, conditions: WindowConditions
    ) -> torch.Tensor:
        """The velocity [1, 16, T, h, w] in one pass."""
        with self.transformer.cache_context(kind.value):
            velocity: torch.Tensor = self.transformer(
                hidden_states=hidden_states,
                timestep=timestep[None].to(hidden_states.device),
                encoder_hidden_states=self.embeds[kind.reads_prompt],
                encoder_hidden_states_image=conditions.image_embeds,
                audio_embeds=conditions.audio_windows if kind.hears_speech else None,
                speaker_masks=conditions.speaker_masks if kind.hears_speech else None,
                context_cache=self.caches[kind],
                return_dict=False,
            )[0]
        return velocity

    def _skip_to(self, step: int) -> None:
        for kind in self.guidance.passes:
            with self.transformer.cache_context(kind.value):
                skip_to_step(self.transformer, self.timesteps[:step])

    def _report(
        self,
        end: StepEnd,
        latents: torch.Tensor,
        noise_pred: torch.Tensor,
        resumable: WindowState | StepState,
    ) -> None:
        if self.callback is None:
            return
        steps, state = len(self.timesteps) - 1, partial(_on_cpu, resumable)
        try:
            self.callback(StepProgress(end.window, end.step, steps, end.timestep, latents, noise_pred, state))
        except StopSampling:
            raise RenderStopped(state()) from None

    def _context_caches(self) -> dict[Pass, InfiniteTalkContextCache]:
        """One cache for each pass; passes share the parts that they have in common."""
        texts = {True: ProjectedContext(), False: ProjectedContext()}
        audios = {True: self.speech, False: ProjectedContext()}
        return {
            kind: InfiniteTalkContextCache(texts[kind.reads_prompt], self.image, audios[kind.hears_speech])
            for kind in self.guidance.passes
        }

    def _forget_last_window(self, new_picture: bool) -> None:
        self.transformer._reset_stateful_cache()
        self.speech.clear()
        if new_picture:
            self.image.clear()


def _on_cpu(state: WindowState | StepState) -> WindowState | StepState:
    if isinstance(state, WindowState):
        return state
    cpu = torch.device("cpu")
    return replace(
        state, latents=state.latents.to(cpu, copy=True), averages=_averages_to(state.averages, cpu)
    )


def _averages_to(averages: Averages, device: torch.device) -> Averages:
    text, audio = (
        None if tensor is None else tensor.to(device) for tensor in (averages.text, averages.audio)
    )
    return Averages(text, audio)
