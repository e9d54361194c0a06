import pytest
import torch

from InfiniteTalk.audio import audio_windows
from InfiniteTalk.windows import WindowPlan
from tests.infinitetalk.recordings import metadata, tensors

RECORDED = "audio_frontend"


@pytest.mark.parametrize("index", range(4))
def test_each_window_hears_what_it_hears_in_the_reference(index: int) -> None:
    facts = metadata(RECORDED)
    plan = WindowPlan(facts["output_frames"], facts["frame_num"], facts["motion_frame"])
    assert len(plan) == facts["chunks"]
    assert plan.start(index) == facts["chunk_starts"][index]
    windows = audio_windows([tensors(RECORDED)["embedding"]], plan.start(index), plan.num_frames)
    assert torch.equal(windows, tensors(RECORDED)[f"chunk{index}/windows"])


def frames_heard(length: int, start: int, num_frames: int) -> list[list[int]]:
    embeddings = torch.arange(length)[:, None, None]
    return audio_windows([embeddings], start, num_frames)[0, :, :, 0, 0].tolist()


def test_before_the_speech_its_first_frame_is_repeated() -> None:
    assert frames_heard(20, 0, 5)[0] == [0, 0, 0, 1, 2]


def test_a_window_just_inside_the_speech_repeats_the_last_frame() -> None:
    assert frames_heard(6, 0, 5)[4] == [2, 3, 4, 5, 5]


def test_a_window_that_reaches_the_end_goes_on_with_the_mirror_image() -> None:
    assert frames_heard(6, 1, 9)[-1] == [4, 3, 2, 1, 0]


def test_speech_far_shorter_than_a_window_swings_to_and_fro() -> None:
    assert [heard[2] for heard in frames_heard(3, 0, 9)] == [0, 1, 2, 2, 1, 0, 0, 1, 2]


def test_two_speakers_are_stacked() -> None:
    first, second = torch.zeros(30, 4, 8), torch.ones(30, 4, 8)
    windows = audio_windows([first, second], 0, 13)
    assert windows.shape == (2, 13, 5, 4, 8)
    assert windows[0].max() == 0
    assert windows[1].min() == 1


@pytest.mark.parametrize(
    ("video_frames", "starts", "new"),
    [
        (1, [0], [1]),
        (81, [0], [81]),
        (82, [0, 72], [81, 1]),
        (200, [0, 72, 144], [81, 72, 47]),
        (225, [0, 72, 144], [81, 72, 72]),
    ],
)
def test_the_new_frames_of_all_windows_are_the_video(
    video_frames: int, starts: list[int], new: list[int]
) -> None:
    plan = WindowPlan(video_frames)
    assert [plan.start(index) for index in range(len(plan))] == starts
    slices = [plan.new_frames(index) for index in range(len(plan))]
    assert [part.stop - part.start for part in slices] == new
    assert sum(new) == video_frames


def test_a_window_that_the_model_cannot_render_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        WindowPlan(100, num_frames=80)
    with pytest.raises(ValueError, match="nothing new"):
        WindowPlan(100, num_frames=9, motion_frames=9)
