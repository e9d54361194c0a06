"""The preview engine as an engine: windows, stopping, going on, the same bytes each time."""

from dataclasses import replace

import numpy as np
import pytest

from gpu_worker.contract.presets import Resolution
from gpu_worker.contract.spec import ReferenceKind
from gpu_worker.contract.windows import STANDARD_WINDOWS
from gpu_worker.engines.base import RenderedWindow, RenderStoppedError, Step
from gpu_worker.engines.preview.framing import frame_size
from tests.gpu_worker import preview_jobs
from tests.gpu_worker.preview_jobs import JOB


def test_the_windows_are_those_of_the_plan() -> None:
    windows = list(preview_jobs.engine().render(replace(JOB, num_frames=84), lambda step: True))
    assert [(window.index, len(window.frames)) for window in windows] == [
        (window.index, window.num_frames) for window in STANDARD_WINDOWS.plan(84)
    ]
    assert all(window.frames.dtype == np.uint8 for window in windows)


def test_the_same_job_gives_the_same_bytes_and_another_seed_others() -> None:
    once = preview_jobs.render(num_frames=15)
    assert np.array_equal(once, preview_jobs.render(num_frames=15))
    assert not np.array_equal(once, preview_jobs.render(num_frames=15, seed=2))


def test_a_render_that_goes_on_gives_the_frames_of_an_undisturbed_one() -> None:
    whole = preview_jobs.render(num_frames=84)
    assert np.array_equal(preview_jobs.render(num_frames=84, next_window=1), whole[81:])


def test_a_video_that_goes_on_gives_the_frames_of_an_undisturbed_one(tmp_path) -> None:
    picture = preview_jobs.drawing()[:720, 180:900]
    video = preview_jobs.write_video(tmp_path / "v.mp4", [np.roll(picture, 2 * k, 1) for k in range(30)], 8)
    job = replace(JOB, reference=video, reference_kind=ReferenceKind.VIDEO, num_frames=84)
    whole = preview_jobs.render(job)
    assert np.array_equal(preview_jobs.render(job, next_window=1), whole[81:])


def test_it_asks_every_half_second_whether_to_go_on() -> None:
    steps: list[Step] = []
    list(preview_jobs.engine().render(JOB, lambda step: not steps.append(step)))
    assert [(step.step, step.steps) for step in steps if step.stage == "sampling"] == [
        (0, 4), (1, 4), (2, 4), (3, 4),
    ]  # fmt: skip


def test_it_stops_when_told_and_keeps_the_windows_before() -> None:
    windows: list[RenderedWindow] = []
    render = preview_jobs.engine().render(replace(JOB, num_frames=84), lambda step: step.window == 0)
    with pytest.raises(RenderStoppedError) as stopped:
        windows.extend(render)
    assert [window.index for window in windows] == [0]
    assert stopped.value.step_state is None


@pytest.mark.parametrize("size", [(1080, 1080), (4032, 3024), (333, 777), (1920, 800)])
@pytest.mark.parametrize(
    ("resolution", "area"), [(Resolution.P480, 832 * 480), (Resolution.P720, 1280 * 720)]
)
def test_frames_have_the_resolutions_area_and_the_pictures_shape(size, resolution, area) -> None:
    width, height = frame_size(*size, resolution)
    assert width % 2 == height % 2 == 0
    assert width * height == pytest.approx(area, rel=0.01)
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)
