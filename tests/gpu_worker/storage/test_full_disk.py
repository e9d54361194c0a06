"""The worker's disk is full for a while, or to the end."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gpu_worker import tasks
from gpu_worker.contract.spec import ReportKind
from gpu_worker.rendering import attempt
from gpu_worker.runtime.context import WorkerContext
from gpu_worker.storage.retry import RetryPolicy
from tests.gpu_worker.playing_control import Control, wait_until


@contextmanager
def full_disk(bytes_left: int) -> Iterator[None]:
    """No file of this process becomes larger, which is what a full disk comes to."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize("bytes_left", [500, 5000])
def test_a_disk_that_is_full_for_a_while_costs_time_and_nothing_else(
    worker: WorkerContext,
    control: Control,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    bytes_left: int,
) -> None:
    monkeypatch.setattr(attempt, "RETRIES", RetryPolicy(tries=12, first_pause=0.01))
    spec = control.spec()
    render = threading.Thread(target=tasks.render, args=[spec.to_dict()])
    with full_disk(bytes_left):
        render.start()
        wait_until(lambda: "again in" in caplog.text, "a try that fails")
    render.join()
    assert [number for _, number in control.frames(spec)] == list(range(150))
    assert control.wait_for(ReportKind.SUCCEEDED).video is not None


def test_a_disk_that_stays_full_fails_the_job_as_one_that_may_be_tried_again(
    worker: WorkerContext, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "RETRIES", RetryPolicy(tries=4, first_pause=0.01))
    spec = control.spec()
    with full_disk(15_000):  # Room for the inputs, and for no window.
        tasks.render(spec.to_dict())
    report = control.wait_for(ReportKind.FAILED)
    assert (report.error_code, report.error_detail) == (
        "storage_failed",
        "The worker has no room for its files.",
    )
