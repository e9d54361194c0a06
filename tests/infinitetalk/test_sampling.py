from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from InfiniteTalk.loudness import normalize_loudness
from InfiniteTalk.noise import window_generator
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.sampling import StepProgress
from InfiniteTalk.schedule import flow_match_timesteps, shift_timesteps
from InfiniteTalk.settings import Precomputed
from InfiniteTalk.sizes import Size
from InfiniteTalk.speech_encoding import encode_speech
from tests.infinitetalk.recordings import error, metadata, tensors

from .tiny_renders import SPEECH, arguments, load, same_frames, settings


@pytest.fixture(scope="module")
def pipeline(tiny_checkpoint: Path) -> InfiniteTalkPipeline:
    return load(tiny_checkpoint)


def test_the_schedule_is_the_published_one_to_the_bit() -> None:
    for steps, shift in metadata("misc")["timestep_pairs"]:
        assert torch.equal(flow_match_timesteps(steps, shift), tensors("misc")[f"timesteps/{steps}_{shift}"])


@pytest.mark.parametrize(
    ("text_scale", "audio_scale", "passes"), [(1, 1, 1), (1, 2, 2), (5, 1, 2), (5, 4, 3)]
)
def test_a_step_costs_only_the_passes_that_its_scales_need(
    pipeline: InfiniteTalkPipeline, text_scale: float, audio_scale: float, passes: int
) -> None:
    calls = 0

    def count(module: nn.Module, arguments: tuple[object, ...]) -> None:
        nonlocal calls
        calls += 1

    handle = pipeline.transformer.register_forward_pre_hook(count)
    how = settings(text_guidance_scale=text_scale, audio_guidance_scale=audio_scale)
    list(pipeline.stream(**arguments(video_frames=13, settings=how)))
    handle.remove()
    assert calls == 3 * passes


def test_a_still_is_encoded_once_a_job(pipeline: InfiniteTalkPipeline) -> None:
    lengths = []
    handle = pipeline.vae.quant_conv.register_forward_pre_hook(
        lambda module, arguments: lengths.append(arguments[0].shape[2])
    )
    list(pipeline.stream(**arguments()))
    handle.remove()
    picture, *motion = lengths
    assert len(motion) == 3  # After each of the three windows that another follows.
    assert picture > max(motion)


def test_a_callback_sees_every_step(pipeline: InfiniteTalkPipeline) -> None:
    seen: list[StepProgress] = []
    list(pipeline.stream(**arguments(video_frames=21, callback=seen.append)))
    assert [(step.window, step.step) for step in seen] == [(w, s) for w in (0, 1) for s in (1, 2, 3)]
    timesteps = flow_match_timesteps(3, 3.0)
    assert [step.timestep for step in seen] == timesteps[:-1].tolist() * 2
    assert all(step.latents.shape == step.noise_pred.shape == (1, 16, 4, 6, 4) for step in seen)


def test_a_step_moves_the_latents_against_the_velocity_and_leaves_the_motion_clean(
    pipeline: InfiniteTalkPipeline,
) -> None:
    seen: list[StepProgress] = []
    windows = list(pipeline.stream(**arguments(video_frames=21, callback=seen.append)))
    timesteps = flow_match_timesteps(3, 3.0) / 1000
    for before, after in ((0, 1), (1, 2), (3, 4), (4, 5)):
        step = timesteps[before % 3 + 1] - timesteps[before % 3 + 2]
        moved = seen[before].latents - step * seen[after].noise_pred
        motion = 1 if after < 3 else 2
        assert error(seen[after].latents[:, :, motion:], moved[:, :, motion:]) < 1e-6
    state = windows[0].state
    assert state is not None
    assert state.motion_latents is not None
    assert torch.equal(seen[5].latents[:, :, :2], state.motion_latents)


def test_a_window_can_be_rendered_again_alone(
    pipeline: InfiniteTalkPipeline,
) -> None:
    windows = list(pipeline.stream(**arguments()))
    again = next(pipeline.stream(**arguments(resume_from=windows[1].state)))
    assert same_frames([again], [windows[2]])


def test_every_window_and_seed_has_noise_of_its_own() -> None:
    draws = [
        torch.randn(8, generator=window_generator(seed, window)) for seed, window in ((0, 0), (0, 1), (1, 0))
    ]
    assert len({tuple(draw.tolist()) for draw in draws}) == 3
    assert torch.equal(draws[1], torch.randn(8, generator=window_generator(0, 1)))


def test_a_run_can_be_replayed_from_tensors_alone(pipeline: InfiniteTalkPipeline) -> None:
    calls: list[dict[str, torch.Tensor]] = []
    handle = pipeline.transformer.register_forward_pre_hook(
        lambda module, positional, named: calls.append(named), with_kwargs=True
    )
    windows = list(pipeline.stream(**arguments(video_frames=21)))
    handle.remove()
    speech = encode_speech(normalize_loudness(SPEECH), pipeline.wav2vec2, pipeline.feature_extractor)
    given = Precomputed(
        prompt_embeds=calls[0]["encoder_hidden_states"],
        image_embeds={0: calls[0]["encoder_hidden_states_image"]},
        reference_latents={0: calls[0]["hidden_states"][:, 20:]},
        initial_noise={w: torch.randn(1, 16, 4, 6, 4, generator=window_generator(7, w)) for w in (0, 1)},
        audio_embeds=[speech],
    )
    without_encoders = InfiniteTalkPipeline(pipeline.transformer, pipeline.vae, *[None] * 5)
    replayed = without_encoders.stream(
        **arguments(speech=(), prompt="Not read.", settings=settings(seed=99), video_frames=21, given=given)
    )
    assert same_frames(list(replayed), windows)


def test_given_speech_of_two_people_is_as_long_as_the_longer_one(tiny_checkpoint: Path) -> None:
    pipeline = load(tiny_checkpoint, "multi")
    speech = encode_speech(normalize_loudness(SPEECH), pipeline.wav2vec2, pipeline.feature_extractor)
    given = Precomputed(audio_embeds=[speech[:9], speech[:17]])
    windows = pipeline.stream(**arguments(speech=(), given=given, resolution=Size(64, 64)))
    assert sum(len(window.frames) for window in windows) == 17


def test_explicit_timesteps_are_those_of_the_steps(pipeline: InfiniteTalkPipeline) -> None:
    seen: list[StepProgress] = []
    timesteps = shift_timesteps((1000, 750, 500, 250), 5.0)
    how = settings(num_inference_steps=4, timesteps=timesteps)
    list(pipeline.stream(**arguments(video_frames=13, settings=how, callback=seen.append)))
    assert [step.timestep for step in seen] == pytest.approx([1000, 937.5, 833.333, 625], abs=1e-3)
    last, before = seen[-1], seen[-2]
    moved = before.latents - last.noise_pred * 0.625
    assert torch.allclose(last.latents[:, :, 1:], moved[:, :, 1:], atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"timesteps": (1000.0, 500.0)},
        {"timesteps": (1000.0, 500.0, 500.0)},
        {"timesteps": (1000.0, 500.0, 0.0)},
        {"timesteps": (1000.5, 500.0, 1.0)},
        {"timesteps": (1000.0, 500.0, 1.0), "reference_compat": True},
    ],
)
def test_timesteps_that_are_no_schedule_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="timesteps"):
        settings(**changes)
