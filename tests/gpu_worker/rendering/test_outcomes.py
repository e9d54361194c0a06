"""How a render ends that nobody stops: the receipt, failures of every kind, specs that can't be read."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gpu_worker import tasks
from gpu_worker.contract import storage_keys
from gpu_worker.contract.coordination import Progress
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.spec import SPEC_VERSION, ReportKind
from gpu_worker.engines.base import EngineJob, OnStep, RenderedWindow, RenderError
from gpu_worker.rendering.control_channel import ControlChannel
from gpu_worker.runtime.context import WorkerContext
from tests.gpu_worker import preview_jobs
from tests.gpu_worker.painted_engine import PaintedEngine
from tests.gpu_worker.playing_control import TOKEN, Control

pytestmark = pytest.mark.usefixtures("worker")


def test_the_receipt_tells_what_made_the_video(control: Control) -> None:
    tasks.render(control.spec().to_dict())

    receipt = control.wait_for(ReportKind.SUCCEEDED).receipt
    assert receipt is not None
    assert receipt["quality"]["windows_seen"] == 2
    assert receipt["quality"]["black_windows"] == receipt["quality"]["frozen_windows"] == []
    assert receipt["seconds"].keys() == {"starting", "sampling", "uploading"}
    assert {name: receipt[name] for name in ("preset", "seed", "num_inference_steps", "precision")} == {
        "preset": "fast",
        "seed": 7,
        "num_inference_steps": 4,
        "precision": "exact",
    }


def test_the_receipt_of_a_preview_claims_no_denoising_steps(worker: WorkerContext, control: Control) -> None:
    worker.engine.info = preview_jobs.engine().info  # type: ignore[misc]
    tasks.render(control.spec().to_dict())

    receipt = control.wait_for(ReportKind.SUCCEEDED).receipt
    assert receipt is not None
    assert receipt["engine"] == "preview"
    assert "num_inference_steps" not in receipt


@pytest.mark.parametrize("code", ["image_unreadable", "model_unavailable"])
def test_a_simulated_fault_of_the_inputs_fails_before_anything_is_rendered(
    control: Control, code: str
) -> None:
    tasks.render(control.spec(simulate=code).to_dict())

    assert control.wait_for(ReportKind.FAILED).error_code == code
    assert control.visits() == []


@pytest.mark.parametrize("code", ["face_not_found", "out_of_memory", "worker_lost", "internal_error"])
def test_a_simulated_fault_of_the_render_fails_in_the_first_window(control: Control, code: str) -> None:
    tasks.render(control.spec(simulate=code).to_dict())

    failed = control.wait_for(ReportKind.FAILED)
    assert (failed.error_code, failed.windows_done) == (code, 0)


def test_a_simulated_fault_of_the_store_fails_after_the_last_window(control: Control) -> None:
    tasks.render(control.spec(simulate="storage_failed").to_dict())

    failed = control.wait_for(ReportKind.FAILED)
    assert (failed.error_code, failed.windows_done) == ("storage_failed", 2)


class BrokenEngine(PaintedEngine):
    """Renders one window, then raises."""

    error: Exception

    def render(self, job: EngineJob, on_step: OnStep) -> Iterator[RenderedWindow]:
        yield next(super().render(job, on_step))
        raise self.error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RenderError("face_not_found", "There is no face."), "face_not_found"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("/secret/path broke"), "internal_error"),
    ],
)
def test_an_error_of_the_engine_has_its_code_and_tells_the_user_no_internals(
    worker: WorkerContext, control: Control, error: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker.engine = BrokenEngine(control.gates)
    worker.engine.error = error
    tasks.render(control.spec().to_dict())

    failed = control.wait_for(ReportKind.FAILED)
    assert (failed.error_code, failed.windows_done) == (code, 1)
    assert "secret" not in (failed.error_detail or "")
    assert ("secret" in caplog.text) == (code == "internal_error")
    assert TOKEN not in caplog.text


def test_a_job_for_another_engine_is_refused(control: Control) -> None:
    tasks.render(control.spec(engine=EngineName.INFINITETALK).to_dict())

    assert control.wait_for(ReportKind.FAILED).error_code == "model_unavailable"


def test_a_spec_of_a_newer_version_is_handed_back_at_most_once_a_minute(
    worker: WorkerContext, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    newer = {**control.spec().to_dict(), "version": SPEC_VERSION + 1, "unheard": "of"}
    tasks.render(newer)
    control.wait_for(ReportKind.HANDED_BACK)
    assert caplog.records[-1].levelno == logging.CRITICAL

    waited = []
    worker.shutdown.wait = lambda timeout=None: waited.append(timeout) or False  # type: ignore[method-assign]
    tasks.render({**newer, "attempt": 2})
    assert 55 < waited[0] <= 60


def test_an_unreadable_spec_of_our_version_fails_the_job(control: Control) -> None:
    spec = control.spec().to_dict()
    del spec["seed"]
    tasks.render(spec)

    assert control.wait_for(ReportKind.FAILED).error_code == "internal_error"


def test_an_attempt_that_was_lost_after_the_last_window_only_joins_the_windows(control: Control) -> None:
    first = control.spec()
    tasks.render(first.to_dict())
    control.wait_for(ReportKind.SUCCEEDED)
    control.forget_reports()
    control.forget_visits()

    second = control.next_attempt(first, windows=2, step=False)
    tasks.render(second.to_dict())
    control.wait_for(ReportKind.SUCCEEDED)
    assert control.visits() == []
    assert control.frames(second) == control.frames(first)


def test_an_attempt_writes_below_its_own_prefix_only(control: Control) -> None:
    spec = control.spec()
    before = set(control.stored())
    tasks.render(spec.to_dict())

    control.wait_for(ReportKind.SUCCEEDED)
    written = set(control.stored()) - before
    assert written
    assert all(key.startswith(spec.prefix) for key in written)
    assert storage_keys.result(spec.prefix) in written


def test_progress_never_goes_back_and_leaves_something_for_the_upload(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Progress] = []
    monkeypatch.setattr(ControlChannel, "tell", lambda link, progress: told.append(progress))
    tasks.render(replace(control.spec(), num_frames=150).to_dict())

    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 0.98
    assert [(p.window, p.step) for p in told if p.stage == "sampling"] == [
        (window, step) for window in (0, 1) for step in range(4)
    ]
