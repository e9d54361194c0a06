"""The worker as a process: what it does to jobs when it, or Redis, is taken away."""

import json
import signal
from pathlib import Path

import pytest

from avatar_api.embedded.valkey import Valkey
from gpu_worker import tasks
from gpu_worker.contract import storage_keys
from gpu_worker.contract.spec import RenderSpec, ReportKind
from gpu_worker.runtime import shutdown
from gpu_worker.runtime.context import WorkerContext
from tests.gpu_worker.playing_control import TOKEN, Control, WorkerProcess, host_here, wait_until


def test_a_job_becomes_a_video_and_reports_in_order(control: Control) -> None:
    spec = control.send(control.spec())
    with WorkerProcess(control, "--burst") as worker:
        assert worker.wait() == 0

    reports = control.reports()
    assert [report.kind for report in reports] == ["started", "window", "window", "succeeded"]
    assert [report.windows_done for report in reports] == [0, 1, 2, 2]
    assert {report.token for report in reports} == {TOKEN}
    succeeded = reports[-1]
    assert succeeded.video is not None
    assert succeeded.receipt is not None
    assert (succeeded.video.num_frames, succeeded.video.fps) == (150, 25)
    assert succeeded.receipt["engine"] == "painted"
    assert [number for _, number in control.frames(spec)] == list(range(150))
    result = json.loads(control.read(storage_keys.result(spec.prefix)))
    assert result["video"]["sha256"] == succeeded.video.sha256
    assert worker.scratch_files == []
    assert TOKEN not in worker.log


def test_after_kill_9_in_window_2_the_next_attempt_makes_the_same_video(control: Control) -> None:
    undisturbed = _render(control, control.spec(seconds=9.0))

    control.hold(1, 2)
    lost = control.send(control.spec(1, seconds=9.0))
    with WorkerProcess(control) as worker:
        control.wait_at(1, 2)
        control.wait_for(ReportKind.WINDOW)
        worker.signal(signal.SIGKILL)
        worker.wait()
    assert worker.scratch_files
    control.release(1, 2)

    resumed = control.send(control.next_attempt(lost, windows=1, step=False))
    with WorkerProcess(control, "--burst") as following:
        assert following.wait() == 0, following.log
    assert control.frames(resumed) == undisturbed
    assert worker.scratch_files == []  # The next worker cleared what the lost one left.


@pytest.mark.parametrize(
    "file",
    [
        "speech-1.flac",  # starting
        "state-00000.safetensors",  # a window is half published: its segment without its state
        "segment-00001.m4s",  # the last window is rendered, and nobody knows
        "result.json",  # uploading: the video lies there, and nobody knows
    ],
)
def test_killed_in_any_stage_a_job_is_finished_by_the_next_attempt(
    control: Control, worker: WorkerContext, file: str
) -> None:
    tasks.render((undisturbed := control.spec()).to_dict())
    control.wait_for(ReportKind.SUCCEEDED)
    control.forget_reports()

    killed = control.send(control.spec(2))
    with WorkerProcess(control, file, module="tests.gpu_worker.dying_worker") as process:
        assert process.wait() == -signal.SIGKILL
    windows_done = max((report.windows_done for report in control.reports()), default=0)
    assert windows_done <= {"result.json": 2, "segment-00001.m4s": 1}.get(file, 0)

    resumed = control.next_attempt(killed, windows=windows_done, step=False)
    tasks.render(resumed.to_dict())
    control.wait_for(ReportKind.SUCCEEDED)
    assert control.frames(resumed) == control.frames(undisturbed)


def test_sigterm_hands_back_at_the_next_step_and_the_next_attempt_goes_on_there(control: Control) -> None:
    undisturbed = _render(control, control.spec())

    control.hold(1, 2)
    spec = control.send(control.spec())
    with WorkerProcess(control) as worker:
        control.wait_at(1, 2)
        control.wait_for(ReportKind.WINDOW)
        worker.signal(signal.SIGTERM)
        wait_until(lambda: "asked to end" in worker.log, "the worker to notice")
        control.release(1, 2)
        assert worker.wait() == 0
    handed_back = control.wait_for(ReportKind.HANDED_BACK)
    assert (handed_back.windows_done, handed_back.step_saved) == (1, True)
    assert worker.scratch_files == []

    assert _render(control, control.next_attempt(spec, windows=1, step=True)) == undisturbed
    assert control.visits() == [(1, 3)]


def test_sigterm_in_a_step_of_minutes_hands_back_the_last_finished_one(control: Control) -> None:
    undisturbed = _render(control, control.spec())

    control.hold(1, 2)
    spec = control.send(control.spec())
    with WorkerProcess(control, PAINTED_STEP_SECONDS="0.5") as worker:
        control.wait_at(1, 2)
        control.wait_for(ReportKind.WINDOW)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
    handed_back = control.wait_for(ReportKind.HANDED_BACK)
    assert (handed_back.windows_done, handed_back.step_saved) == (1, True)

    control.release(1, 2)
    assert _render(control, control.next_attempt(spec, windows=1, step=True)) == undisturbed
    assert control.visits() == [(1, 2), (1, 3)]


def test_what_a_worker_waits_for_when_it_ends_is_over_within_ten_seconds() -> None:
    parts = shutdown.STEP_SECONDS + shutdown.WINDOW_SECONDS + shutdown.REPORT_SECONDS
    assert parts < shutdown.LIMIT_SECONDS < 10


def test_redis_away_in_mid_render_delays_the_reports_and_nothing_else(
    control: Control, valkey: Valkey
) -> None:
    control.hold(0, 1)
    control.hold(1, 1)
    spec = control.send(control.spec())
    with WorkerProcess(control) as worker:
        control.wait_at(0, 1)
        control.wait_for(ReportKind.STARTED)
        valkey.__exit__()
        control.release(0, 1)
        control.wait_at(1, 1)
        control.release(1, 1)
        wait_until(lambda: control.storage.exists(storage_keys.result(spec.prefix)), "the result")
        with valkey:
            control.wait_for(ReportKind.SUCCEEDED)
            assert [r.kind for r in control.reports()] == ["started", "window", "window", "succeeded"]
            second = control.send(control.spec(2))  # The same worker, its engine still in memory, goes on.
            wait_until(lambda: control.storage.exists(storage_keys.result(second.prefix)), "the next job")
            worker.signal(signal.SIGTERM)
            assert worker.wait() == 0


def test_an_idle_worker_ends_at_once_also_when_redis_is_away(control: Control, valkey: Valkey) -> None:
    for away in (False, True):
        with WorkerProcess(control) as worker:
            wait_until(lambda: control.workers(), "the worker's registration")
            if away:
                valkey.__exit__()
            worker.signal(signal.SIGTERM)
            assert worker.wait() == 0


def test_a_worker_without_models_says_so_and_ends_for_good(control: Control, tmp_path: Path) -> None:
    with WorkerProcess(
        control, "--queue", "render-gpu", module="gpu_worker.worker", MODEL_STORAGE_PATH=str(tmp_path)
    ) as worker:
        assert worker.wait() == 78
    assert "no models are prepared" in worker.log.splitlines()[-1]


def _render(control: Control, spec: RenderSpec) -> list[tuple[int, int]]:
    """Render one attempt to its end, with fresh marks and reports, and give its frames."""
    control.forget_visits()
    with host_here(control):
        tasks.render(spec.to_dict())
    control.wait_for(ReportKind.SUCCEEDED)
    control.forget_reports()
    return control.frames(spec)
