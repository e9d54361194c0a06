from pathlib import Path

import av
import numpy as np
import pytest
import torch

from gpu_worker.contract import windows as contract_windows
from InfiniteTalk.conditioning import SpeakerBox
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.reference import StillReference, VideoReference
from InfiniteTalk.settings import Precomputed
from InfiniteTalk.sizes import Size
from InfiniteTalk.windows import WindowPlan

from .tiny_renders import PORTRAIT, SPEECH, arguments, load, same_frames, settings


@pytest.fixture(scope="module")
def pipeline(tiny_checkpoint: Path) -> InfiniteTalkPipeline:
    return load(tiny_checkpoint)


def test_a_render_is_a_stream_of_windows_that_cover_the_speech(
    pipeline: InfiniteTalkPipeline,
) -> None:
    windows = list(pipeline.stream(**arguments()))
    assert [window.index for window in windows] == [0, 1, 2, 3]
    assert [len(window.frames) for window in windows] == [13, 8, 8, 8]
    assert all(window.frames.dtype == np.uint8 for window in windows)
    assert all(window.frames.shape[1:] == (48, 32, 3) for window in windows)
    assert windows[-1].state is None


def test_speech_of_a_third_of_a_second_gives_a_video_of_its_length(pipeline: InfiniteTalkPipeline) -> None:
    (window,) = pipeline.stream(**arguments(speech=[SPEECH[: int(0.3 * 16_000)]]))
    assert len(window.frames) == 8


def test_the_video_may_be_cut_where_the_caller_says(pipeline: InfiniteTalkPipeline) -> None:
    whole = list(pipeline.stream(**arguments()))
    cut = list(pipeline.stream(**arguments(video_frames=15)))
    assert [len(window.frames) for window in cut] == [13, 2]
    assert np.array_equal(cut[0].frames, whole[0].frames)


def test_the_same_seed_gives_the_same_video_and_another_seed_another(pipeline: InfiniteTalkPipeline) -> None:
    one_window = {"video_frames": 13}
    first = list(pipeline.stream(**arguments(**one_window)))
    again = list(pipeline.stream(**arguments(**one_window)))
    other = list(pipeline.stream(**arguments(**one_window, settings=settings(seed=8))))
    assert same_frames(first, again)
    assert not same_frames(first, other)


def test_a_shape_of_picture_chooses_its_size(pipeline: InfiniteTalkPipeline) -> None:
    assert pipeline._size(StillReference(PORTRAIT), "480p") == Size(768, 512)
    with pytest.raises(ValueError, match="multiples of 16"):
        next(pipeline.stream(**arguments(resolution=Size(50, 32))))


def test_frames_can_be_had_before_they_are_rounded(pipeline: InfiniteTalkPipeline) -> None:
    (rounded,) = pipeline.stream(**arguments(video_frames=13))
    (exact,) = pipeline.stream(**arguments(video_frames=13, output_type="float32"))
    assert exact.frames.dtype == np.float32
    assert np.abs((exact.frames + 1) / 2 * 255 - rounded.frames).max() <= 0.5 + 1e-3


def write_two_scenes(path: Path) -> Path:
    """A second of blue, then a second of red, at 50 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=50)
        stream.width, stream.height, stream.pix_fmt = 64, 96, "yuv420p"
        for color in [(20, 20, 200)] * 50 + [(200, 20, 20)] * 50:
            picture = np.full((96, 64, 3), color, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


def test_each_window_takes_the_colours_that_a_video_has_at_its_moment(
    pipeline: InfiniteTalkPipeline, tmp_path: Path
) -> None:
    reference = VideoReference(write_two_scenes(tmp_path / "scenes.mp4"))
    windows = list(pipeline.stream(**arguments(reference=reference, video_frames=45)))
    reds = [window.frames[..., 0].mean() for window in windows]
    blues = [window.frames[..., 2].mean() for window in windows]
    assert [red > blue for red, blue in zip(reds, blues, strict=True)] == [False] * 4 + [True]


HALVES = [SPEECH[:6400], SPEECH[6400:12800]]
SQUARE = Size(64, 64)
"""Large enough for both halves of the picture to hold tokens."""


@pytest.fixture(scope="module")
def pipeline_of_two(tiny_checkpoint: Path) -> InfiniteTalkPipeline:
    return load(tiny_checkpoint, "multi")


def test_two_people_take_turns(pipeline_of_two: InfiniteTalkPipeline) -> None:
    windows = pipeline_of_two.stream(
        **arguments(speech=HALVES, speaking_order="first_then_second", resolution=SQUARE)
    )
    assert [len(window.frames) for window in windows] == [13, 7]


def test_who_is_where_matters_for_two_people(pipeline_of_two: InfiniteTalkPipeline) -> None:
    both = {"speech": [SPEECH[:8000], SPEECH[8000:16000]], "video_frames": 13, "resolution": SQUARE}
    left, right = SpeakerBox(0, 0, 0.5, 1), SpeakerBox(0.5, 0, 0.5, 1)
    in_order = list(pipeline_of_two.stream(**arguments(**both, boxes=[left, right])))
    swapped = list(pipeline_of_two.stream(**arguments(**both, boxes=[right, left])))
    assert not same_frames(in_order, swapped)
    with pytest.raises(ValueError, match="two boxes"):
        next(pipeline_of_two.stream(**arguments(**both, boxes=[left])))


@pytest.mark.parametrize("speech", [[], [None], [None, None], [SPEECH] * 3])
def test_nobody_or_three_people_are_refused(
    pipeline: InfiniteTalkPipeline, speech: list[np.ndarray | None]
) -> None:
    with pytest.raises(ValueError, match="must speak"):
        next(pipeline.stream(**arguments(speech=speech)))


@pytest.mark.parametrize(
    ("name", "index"), [("image_embeds", 1), ("reference_latents", 3), ("initial_noise", 4)]
)
def test_a_tensor_for_a_window_that_does_not_use_it_is_refused(
    pipeline: InfiniteTalkPipeline, name: str, index: int
) -> None:
    given = Precomputed(**{name: {index: torch.zeros(1)}})
    with pytest.raises(ValueError, match=f"{name}: windows .{index}. use none"):
        next(pipeline.stream(**arguments(), given=given))


@pytest.mark.parametrize("frames", [1, 8, 81, 82, 153, 154, 1000])
def test_the_model_and_the_contract_cut_a_video_into_the_same_windows(frames: int) -> None:
    """They can't import each other: control plans windows without torch."""
    ours, theirs = WindowPlan(frames), contract_windows.STANDARD_WINDOWS.plan(frames)
    shown = [ours.new_frames(index) for index in range(len(ours))]
    assert [window.num_frames for window in theirs] == [part.stop - part.start for part in shown]
    assert sum(window.num_frames for window in theirs) == frames
