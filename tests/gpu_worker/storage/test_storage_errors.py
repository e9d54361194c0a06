"""The object store goes away, comes back, or holds something else."""

from dataclasses import replace
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from gpu_worker import tasks
from gpu_worker.contract.spec import ReportKind
from gpu_worker.rendering import attempt
from gpu_worker.runtime.context import WorkerContext
from gpu_worker.storage.retry import RetryPolicy
from tests.gpu_worker.playing_control import Control


class FailingStorage(FileSystemStorage):
    """A folder that is away for some of the operations asked of it: `away` tells for which, by number."""

    def __init__(self, location: str, away: range) -> None:
        super().__init__(location, allow_overwrite=True)
        self.away = away
        self.operations = 0

    def open(self, name: str, mode: str = "rb") -> Any:
        self._count()
        return super().open(name, mode)

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        self._count()
        return super().save(name, content, max_length)

    def _count(self) -> None:
        self.operations += 1
        if self.operations in self.away:
            raise ConnectionResetError("the store is away")


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "RETRIES", RetryPolicy(tries=6, first_pause=0.01))


@pytest.mark.parametrize("first", [1, 3, 5, 8])
def test_a_store_that_comes_back_costs_time_and_nothing_else(
    worker: WorkerContext, control: Control, first: int
) -> None:
    worker.storage = FailingStorage(str(control.folder / "store"), range(first, first + 4))
    spec = control.spec()
    tasks.render(spec.to_dict())

    control.wait_for(ReportKind.SUCCEEDED)
    assert [number for _, number in control.frames(spec)] == list(range(150))


def test_a_store_that_stays_away_fails_the_job_and_the_worker_lives_on(
    worker: WorkerContext, control: Control
) -> None:
    healthy, worker.storage = worker.storage, FailingStorage(str(control.folder / "store"), range(4, 10_000))
    tasks.render(control.spec().to_dict())

    failed = control.wait_for(ReportKind.FAILED)
    assert failed.error_code == "storage_failed"
    assert "job_1" not in (failed.error_detail or "")

    worker.storage = healthy
    tasks.render(control.spec(2).to_dict())
    control.wait_for(ReportKind.SUCCEEDED)


def test_inputs_that_are_not_what_was_stored_are_not_rendered(
    worker: WorkerContext, control: Control
) -> None:
    spec = control.spec()
    tasks.render(replace(spec, reference=replace(spec.reference, sha256="0" * 64)).to_dict())

    assert control.wait_for(ReportKind.FAILED).error_code == "storage_failed"
    assert control.visits() == []


def test_inputs_that_are_gone_fail_the_job_at_once(worker: WorkerContext, control: Control) -> None:
    spec = control.spec()
    tasks.render(replace(spec, reference=replace(spec.reference, key="org/org_1/nothing")).to_dict())

    assert control.wait_for(ReportKind.FAILED).error_code == "storage_failed"
