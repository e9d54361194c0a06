"""Windows of the distilled weights: the lead-in is never shown, and speech and frames stay together."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from InfiniteTalk.flashtalk import BUCKETS, flashtalk_settings
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.rendering import Window
from InfiniteTalk.settings import Precomputed, RenderSettings
from InfiniteTalk.sizes import Size, choose_bucket

from .tiny_renders import arguments, distilled, load, same_frames

SPEECH_SHAPE = (4, 32)


@pytest.fixture(scope="module")
def pipeline(tiny_checkpoint: Path) -> InfiniteTalkPipeline:
    return load(tiny_checkpoint)


@pytest.mark.parametrize("video_frames", [1, 5, 27, 28, 29, 56, 57, 1500, 90_000])
def test_the_windows_show_each_frame_once(video_frames: int) -> None:
    plan = flashtalk_settings().plan(video_frames)
    shown = [
        (plan.start(index) + new.start, plan.start(index) + new.stop)
        for index in range(len(plan))
        for new in [plan.new_frames(index)]
    ]
    assert shown[0][0] == 0
    assert shown[-1][1] == video_frames
    assert all(before[1] == after[0] for before, after in pairwise(shown))
    assert {stop - start for start, stop in shown[:-1]} <= {28}


def test_a_window_is_28_new_frames_the_first_too() -> None:
    plan = flashtalk_settings().plan(60)
    assert [plan.new_frames(index) for index in range(len(plan))] == [slice(5, 33), slice(5, 33), slice(5, 9)]
    assert [plan.start(index) for index in range(len(plan))] == [-5, 23, 51]


def heard_frames(pipeline: InfiniteTalkPipeline, how: RenderSettings, frames: int) -> list[list[float]]:
    """For each window, the frames of speech that its video frames hear in the middle of their five."""
    heard: dict[tuple[float, ...], list[float]] = {}

    def listen(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        middle = kwargs["audio_embeds"][0, :, 2, 0, 0].tolist()
        heard.setdefault(tuple(middle), middle)

    numbers = torch.arange(frames, dtype=torch.float32)[:, None, None].expand(-1, *SPEECH_SHAPE)
    hook = pipeline.transformer.register_forward_pre_hook(listen, with_kwargs=True)
    try:
        given = Precomputed(audio_embeds=[numbers])
        windows = list(pipeline.stream(**arguments(speech=[], settings=how, given=given)))
    finally:
        hook.remove()
    assert sum(len(window.frames) for window in windows) == frames
    return list(heard.values())


def test_each_frame_that_is_shown_hears_its_own_moment_of_speech(pipeline: InfiniteTalkPipeline) -> None:
    how, frames = distilled(), 20
    plan = how.plan(frames)
    for index, heard in enumerate(heard_frames(pipeline, how, frames)):
        new = plan.new_frames(index)
        shown = range(plan.start(index) + new.start, plan.start(index) + new.stop)
        assert heard[new] == list(shown)


def test_speech_stands_still_before_its_start_and_after_its_end(pipeline: InfiniteTalkPipeline) -> None:
    first, *_, last = heard_frames(pipeline, distilled(), 20)
    assert first[:6] == [0, 0, 0, 0, 0, 0]
    assert last[-3:] == [19, 19, 19]


def test_the_publisher_begins_the_speech_with_the_lead_in(pipeline: InfiniteTalkPipeline) -> None:
    first, second, *_ = heard_frames(pipeline, distilled(reference_compat=True), 20)
    assert (first[0], second[0]) == (0, 8)


def test_any_window_can_be_rendered_by_itself(pipeline: InfiniteTalkPipeline) -> None:
    whole: list[Window] = list(pipeline.stream(**arguments(settings=distilled(), video_frames=20)))
    again = list(
        pipeline.stream(**arguments(settings=distilled(), video_frames=20, resume_from=whole[0].state))
    )
    assert same_frames(again, whole[1:])


def test_shorter_than_a_frame_of_speech_gives_a_frame(pipeline: InfiniteTalkPipeline) -> None:
    (window,) = pipeline.stream(**arguments(settings=distilled(), video_frames=1))
    assert len(window.frames) == 1


def test_the_sizes_have_the_area_of_768_by_448() -> None:
    assert all(abs(size.height * size.width / (768 * 448) - 1) < 0.04 for size in BUCKETS.values())
    assert choose_bucket(Size(1080, 1920), BUCKETS) == Size(448, 768)
    assert choose_bucket(Size(1920, 1080), BUCKETS) == Size(768, 448)
