"""`reference_compat` against the published algorithm, written down once more from start to end.

Only models and what recordings prove elsewhere (encoders, windows of speech, schedule, colours) are shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from InfiniteTalk.audio import audio_windows
from InfiniteTalk.caching import TeaCacheConfig, disable_tea_cache, enable_tea_cache
from InfiniteTalk.color import match_color
from InfiniteTalk.conditioning import (
    NEGATIVE_PROMPT,
    encode_image,
    encode_prompt,
    half_picture_boxes,
    speaker_masks,
)
from InfiniteTalk.guidance import AdaptiveProjectedGuidance
from InfiniteTalk.latents import decode_latents, encode_frames
from InfiniteTalk.loudness import normalize_loudness
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.reference import Reference, StillReference, VideoReference
from InfiniteTalk.schedule import flow_match_timesteps
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.sizes import Size, resize_image
from InfiniteTalk.speech_encoding import encode_speech

from .recordings import error
from .test_reference import write_video
from .tiny_renders import PORTRAIT, SIZE, SPEECH, arguments, load, settings

THREE_WINDOWS = SPEECH[: 28 * 640]
VARIANTS = [
    pytest.param(
        settings(text_guidance_scale=5.0, audio_guidance_scale=4.0, reference_compat=True), id="three"
    ),
    pytest.param(settings(audio_guidance_scale=1.0, reference_compat=True), id="two, although one would do"),
    pytest.param(
        settings(text_guidance_scale=5.0, apg=AdaptiveProjectedGuidance(-0.75, 5.0), reference_compat=True),
        id="three with APG",
    ),
]


@dataclass
class Published:
    """The published sampling loop."""

    pipeline: InfiniteTalkPipeline
    settings: RenderSettings
    reference: Reference = field(default_factory=lambda: StillReference(PORTRAIT))
    size: Size = SIZE
    voices: Sequence[np.ndarray] = (THREE_WINDOWS,)
    masks: torch.Tensor | None = None
    latents: list[torch.Tensor] = field(default_factory=list)

    @torch.no_grad()
    def render(self) -> torch.Tensor:
        how, pipeline = self.settings, self.pipeline
        speech = [
            encode_speech(
                normalize_loudness(voice),
                pipeline.wav2vec2,
                pipeline.feature_extractor,
                reference_compat=True,
            )
            for voice in self.voices
        ]
        self.texts = [
            encode_prompt(pipeline.text_encoder, pipeline.tokenizer, text)
            for text in ("A person is talking.", NEGATIVE_PROMPT)
        ]
        torch.manual_seed(how.seed)
        first_picture = motion = resize_image(self.reference.frame(0), self.size)
        chunks, start = [], 0
        while True:
            self.see(resize_image(self.reference.frame(start), self.size))
            windows = audio_windows(speech, start, how.num_frames)
            noise = torch.randn(16, *self.y.shape[2:])[None]
            chunk = self.chunk(noise, encode_frames(pipeline.vae, motion), windows, later=start > 0)
            chunk = match_color(chunk, first_picture, how.color_correction_strength)
            chunks.append(chunk if start == 0 else chunk[:, :, how.motion_frames :])
            if start + how.num_frames >= len(speech[0]):
                return torch.cat(chunks, dim=2)[:, :, : len(speech[0])]
            motion = chunk[:, :, -how.motion_frames :]
            start += how.num_frames - how.motion_frames

    def see(self, picture: torch.Tensor) -> None:
        grey = torch.zeros(1, 3, self.settings.num_frames - 1, *picture.shape[3:])
        reference = encode_frames(self.pipeline.vae, torch.cat([picture, grey], dim=2))
        first = torch.zeros(1, 4, *reference.shape[2:])
        first[:, :, 0] = 1
        self.y = torch.cat([first, reference], dim=1)
        self.clip = encode_image(self.pipeline.image_encoder, picture)

    def chunk(self, x: torch.Tensor, motion: torch.Tensor, audio: torch.Tensor, later: bool) -> torch.Tensor:
        times = flow_match_timesteps(self.settings.num_inference_steps, self.settings.shift)
        frames = motion.shape[2]
        self.averages: dict[str, torch.Tensor] = {}
        if later:
            torch.randn(motion.shape[1:])
        for now, then in pairwise(times):
            x[:, :, :frames] = motion
            x = x - self.velocity(x, now, audio) * (now - then) / 1000
            if later:
                torch.randn(motion.shape[1:])
            x[:, :, :frames] = motion
            self.latents.append(x.clone())
        return decode_latents(self.pipeline.vae, x)

    def velocity(self, x: torch.Tensor, time: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        how, (prompt, negative) = self.settings, self.texts
        silence = torch.zeros_like(audio[:1])
        cond = self.forward(x, time, prompt, audio)
        st, sa = how.text_guidance_scale, how.audio_guidance_scale
        if st == 1:
            drop_audio = self.forward(x, time, prompt, silence)
            return drop_audio + sa * (cond - drop_audio)
        drop_text, uncond = self.forward(x, time, negative, audio), self.forward(x, time, negative, silence)
        if how.apg is None:
            return uncond + st * (cond - drop_text) + sa * (drop_text - uncond)
        by_text = self.apg("text", cond - drop_text, cond, how.apg)
        by_audio = self.apg("audio", drop_text - uncond, cond, how.apg)
        return cond + (st - 1) * by_text + (sa - 1) * by_audio

    def apg(
        self, name: str, diff: torch.Tensor, cond: torch.Tensor, apg: AdaptiveProjectedGuidance
    ) -> torch.Tensor:
        buffer = self.averages[name] = diff + apg.momentum * self.averages.get(name, torch.zeros(()))
        clipped = (buffer * min(1.0, apg.norm_threshold / float(buffer.norm()))).double()
        unit = cond.double() / cond.double().norm()
        return (clipped - (clipped * unit).sum() * unit).float()

    def forward(
        self, x: torch.Tensor, time: torch.Tensor, text: torch.Tensor, audio: torch.Tensor
    ) -> torch.Tensor:
        latents = torch.cat([x, self.y], dim=1)
        velocity: torch.Tensor = self.pipeline.transformer(
            latents, time[None], text, self.clip, audio, self.masks
        ).sample
        return velocity


@pytest.fixture(scope="module")
def pipeline(tiny_checkpoint: Path) -> InfiniteTalkPipeline:
    return load(tiny_checkpoint)


@pytest.mark.parametrize("how", VARIANTS)
def test_a_run_follows_the_published_loop_step_by_step(
    pipeline: InfiniteTalkPipeline, how: RenderSettings
) -> None:
    published = Published(pipeline, how)
    expected = published.render()
    steps: list[torch.Tensor] = []
    windows = list(
        pipeline.stream(
            **arguments(
                speech=[THREE_WINDOWS],
                settings=how,
                output_type="float32",
                callback=lambda done: steps.append(done.latents.clone()),
            )
        )
    )
    frames = torch.cat([torch.from_numpy(window.frames) for window in windows])
    assert len(frames) == 28
    assert len(steps) == len(published.latents) == 3 * 3
    assert max(error(ours, theirs) for ours, theirs in zip(steps, published.latents, strict=True)) < 1e-4
    assert error(frames.permute(3, 0, 1, 2)[None], expected) < 5e-4


def test_two_people_follow_the_published_loop_step_by_step(tiny_checkpoint: Path) -> None:
    how = settings(text_guidance_scale=5.0, audio_guidance_scale=4.0, reference_compat=True)
    source, size = Size(PORTRAIT.height, PORTRAIT.width), Size(64, 64)
    voices = [SPEECH[: 20 * 640], SPEECH[15 * 640 : 35 * 640]]
    pipeline = load(tiny_checkpoint, "multi")
    masks = speaker_masks(half_picture_boxes(source), source, size)
    published = Published(pipeline, how, size=size, voices=voices, masks=masks)
    expected = published.render()
    steps: list[torch.Tensor] = []
    windows = pipeline.stream(
        **arguments(
            speech=voices,
            settings=how,
            resolution=size,
            output_type="float32",
            callback=lambda done: steps.append(done.latents.clone()),
        )
    )
    frames = torch.cat([torch.from_numpy(window.frames) for window in windows])
    assert len(frames) == 20
    assert max(error(ours, theirs) for ours, theirs in zip(steps, published.latents, strict=True)) < 1e-4
    assert error(frames.permute(3, 0, 1, 2)[None], expected) < 5e-4


def test_a_video_follows_the_published_loop_from_its_pictures_by_number_and_its_first_colours(
    pipeline: InfiniteTalkPipeline, tmp_path: Path
) -> None:
    how = settings(reference_compat=True)
    reference = VideoReference(write_video(tmp_path / "brighter.mp4", rate=50, frames=40), True)
    published = Published(pipeline, how, reference)
    expected = published.render()
    steps: list[torch.Tensor] = []
    windows = pipeline.stream(
        **arguments(
            reference=reference,
            speech=[THREE_WINDOWS],
            settings=how,
            output_type="float32",
            callback=lambda done: steps.append(done.latents.clone()),
        )
    )
    frames = torch.cat([torch.from_numpy(window.frames) for window in windows])
    assert max(error(ours, theirs) for ours, theirs in zip(steps, published.latents, strict=True)) < 1e-4
    assert error(frames.permute(3, 0, 1, 2)[None], expected) < 5e-4


def test_tea_cache_runs_on_from_window_to_window_as_published(pipeline: InfiniteTalkPipeline) -> None:
    computed: list[bool] = []
    handle = pipeline.transformer.blocks[1].register_forward_hook(
        lambda module, arguments, output: computed.append(output is not arguments[0])
    )
    enable_tea_cache(pipeline.transformer, TeaCacheConfig(1e9, "infinitetalk-480", 8, reference_compat=True))
    try:
        how = settings(num_inference_steps=8, reference_compat=True)
        list(pipeline.stream(**arguments(settings=how, video_frames=21)))
    finally:
        disable_tea_cache(pipeline.transformer)
        handle.remove()
    # It counts 3 passes a step, of which 5 steps are computed; here a step has 2, and the windows 16 each.
    assert computed == [call % 24 < 15 for call in range(32)]


def test_brightness_is_rounded_down_as_published(pipeline: InfiniteTalkPipeline) -> None:
    how = settings(reference_compat=True)
    (exact,) = pipeline.stream(**arguments(settings=how, video_frames=13, output_type="float32"))
    (rounded,) = pipeline.stream(**arguments(settings=how, video_frames=13))
    assert (rounded.frames == ((exact.frames + 1) / 2 * 255).clip(0, 255).astype("uint8")).all()
