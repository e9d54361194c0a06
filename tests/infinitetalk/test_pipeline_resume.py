from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from InfiniteTalk.caching import TeaCacheConfig, disable_tea_cache, enable_tea_cache
from InfiniteTalk.guidance import AdaptiveProjectedGuidance
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.rendering import Window
from InfiniteTalk.sampling import RenderStopped, StepProgress, StopSampling
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.states import StepState, WindowState

from .tiny_renders import arguments, distilled, load, same_frames, settings

VARIANTS = [
    pytest.param(settings(audio_guidance_scale=1.0), id="one pass"),
    pytest.param(settings(apg=AdaptiveProjectedGuidance()), id="two passes with APG"),
    pytest.param(settings(text_guidance_scale=5.0, audio_guidance_scale=1.0), id="guided by text alone"),
    pytest.param(
        settings(text_guidance_scale=5.0, apg=AdaptiveProjectedGuidance()), id="three passes with APG"
    ),
    pytest.param(settings(reference_compat=True), id="one generator for all windows"),
    pytest.param(distilled(), id="distilled weights"),
    pytest.param(distilled(reference_compat=True), id="distilled weights, one generator"),
]


@pytest.fixture(scope="module")
def pipeline(tiny_checkpoint: Path) -> InfiniteTalkPipeline:
    return load(tiny_checkpoint)


def stop_after(window: int, step: int) -> Callable[[StepProgress], None]:
    def callback(progress: StepProgress) -> None:
        if (progress.window, progress.step) == (window, step):
            raise StopSampling

    return callback


def render_until_stopped(
    pipeline: InfiniteTalkPipeline, window: int, step: int, **changes: Any
) -> tuple[list[Window], WindowState | StepState]:
    windows: list[Window] = []
    with pytest.raises(RenderStopped) as stopped:
        windows.extend(pipeline.stream(**arguments(callback=stop_after(window, step), **changes)))
    return windows, stopped.value.state


@pytest.fixture(scope="module", params=VARIANTS)
def how(request: pytest.FixtureRequest) -> RenderSettings:
    assert isinstance(request.param, RenderSettings)
    return request.param


@pytest.fixture(scope="module")
def whole(pipeline: InfiniteTalkPipeline, how: RenderSettings) -> list[Window]:
    return list(pipeline.stream(**arguments(settings=how)))


@pytest.mark.parametrize("done", [1, 3])
def test_a_render_that_goes_on_from_a_window_has_the_same_bits(
    pipeline: InfiniteTalkPipeline, how: RenderSettings, whole: list[Window], done: int
) -> None:
    state = whole[done - 1].state
    assert state is not None
    saved = WindowState.from_bytes(state.to_bytes())
    resumed = list(pipeline.stream(**arguments(settings=how, resume_from=saved)))
    assert same_frames(resumed, whole[done:])


@pytest.mark.parametrize(("window", "step"), [(0, 1), (2, 2), (3, 3)])
def test_a_render_stopped_after_a_step_goes_on_with_the_same_bits(
    pipeline: InfiniteTalkPipeline, how: RenderSettings, whole: list[Window], window: int, step: int
) -> None:
    before = whole[window - 1].state if window else None
    _, state = render_until_stopped(pipeline, window, step, settings=how, resume_from=before)
    assert isinstance(state, StepState)
    assert (state.window.index, state.step) == (window, step)
    saved = StepState.from_bytes(state.to_bytes())
    after = list(pipeline.stream(**arguments(settings=how, resume_from=saved)))
    assert same_frames(after, whole[window:])


def test_no_step_is_done_twice(pipeline: InfiniteTalkPipeline) -> None:
    _, state = render_until_stopped(pipeline, 1, 2)
    steps = []
    list(
        pipeline.stream(
            **arguments(resume_from=state, callback=lambda done: steps.append((done.window, done.step)))
        )
    )
    assert steps[:3] == [(1, 3), (2, 1), (2, 2)]


@pytest.fixture
def cached_pipeline(
    pipeline: InfiniteTalkPipeline, request: pytest.FixtureRequest
) -> Iterator[InfiniteTalkPipeline]:
    """Of a window's eight steps the last three are skipped."""
    config = TeaCacheConfig(1e9, "infinitetalk-480", 8, reference_compat=request.param)
    enable_tea_cache(pipeline.transformer, config)
    yield pipeline
    disable_tea_cache(pipeline.transformer)


@pytest.mark.parametrize("cached_pipeline", [False], indirect=True)
@pytest.mark.parametrize(("stopped_after", "on_from"), [(3, 3), (5, 4), (6, 4), (8, 8)])
def test_with_steps_skipped_a_stopped_window_goes_on_before_the_last_computed_step(
    cached_pipeline: InfiniteTalkPipeline, stopped_after: int, on_from: int
) -> None:
    steps = settings(num_inference_steps=8)
    whole = list(cached_pipeline.stream(**arguments(settings=steps)))
    before, state = render_until_stopped(cached_pipeline, 1, stopped_after, settings=steps)
    assert isinstance(state, StepState)
    assert (state.window.index, state.step) == (1, on_from)
    after = list(cached_pipeline.stream(**arguments(settings=steps, resume_from=state)))
    assert same_frames([*before, *after], whole)


@pytest.mark.parametrize("cached_pipeline", [True], indirect=True)
def test_with_the_published_cache_a_stopped_window_goes_on_from_its_start(
    cached_pipeline: InfiniteTalkPipeline,
) -> None:
    """Its slots reach over windows."""
    _, state = render_until_stopped(cached_pipeline, 1, 6, settings=settings(num_inference_steps=8))
    assert isinstance(state, WindowState)
    assert state.index == 1


@pytest.mark.parametrize("cached_pipeline", [False], indirect=True)
def test_a_window_that_was_begun_without_skipping_is_finished_with_it(
    cached_pipeline: InfiniteTalkPipeline,
) -> None:
    steps = settings(num_inference_steps=8)
    disable_tea_cache(cached_pipeline.transformer)
    _, state = render_until_stopped(cached_pipeline, 0, 6, settings=steps)
    enable_tea_cache(cached_pipeline.transformer, TeaCacheConfig(1e9, "infinitetalk-480", 8))
    assert list(cached_pipeline.stream(**arguments(settings=steps, resume_from=state)))


def test_a_state_is_small_and_does_not_grow_with_the_video(pipeline: InfiniteTalkPipeline) -> None:
    sizes = {
        len(window.state.to_bytes()) for window in pipeline.stream(**arguments()) if window.state is not None
    }
    assert len(sizes) == 1
    latents = 16 * 2 * 6 * 4 * 4
    assert sizes.pop() < latents + 1000


def test_a_state_of_a_longer_video_is_refused(pipeline: InfiniteTalkPipeline) -> None:
    with pytest.raises(ValueError, match="none of index 4"):
        next(pipeline.stream(**arguments(resume_from=WindowState(4))))
