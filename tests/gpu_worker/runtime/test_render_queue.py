"""Whoever can write to Redis can make a render worker render, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from rq import Callback, Queue
from rq.serializers import DefaultSerializer, JSONSerializer

from gpu_worker.contract.queues import RENDER_FUNCTION
from gpu_worker.contract.spec import ReportKind
from gpu_worker.runtime import rq_worker
from gpu_worker.runtime.context import WorkerContext
from tests.gpu_worker.playing_control import Control

called: list[Any] = []


def call_me(*arguments: Any) -> None:
    called.append(arguments)


@pytest.fixture(autouse=True)
def _nothing_was_called() -> None:
    called.clear()


def serve(worker: WorkerContext, control: Control) -> None:
    rq_worker.serve(worker, control.redis_url, idle_seconds=0)


@pytest.mark.parametrize("serializer", [JSONSerializer, DefaultSerializer])
def test_another_function_is_not_run_and_the_worker_goes_on(
    worker: WorkerContext, control: Control, tmp_path: Path, serializer: Any
) -> None:
    strange = Queue(control.queue.name, connection=control.redis, serializer=serializer)
    strange.enqueue("tests.gpu_worker.runtime.test_render_queue.call_me", "an argument")
    strange.enqueue("os.mkdir", str(tmp_path / "made"))
    control.send(control.spec())
    serve(worker, control)

    control.wait_for(ReportKind.SUCCEEDED)
    assert called == []
    assert not (tmp_path / "made").exists()


def test_callbacks_of_a_job_are_not_run(worker: WorkerContext, control: Control) -> None:
    after = Callback("tests.gpu_worker.runtime.test_render_queue.call_me")
    control.queue.enqueue(
        RENDER_FUNCTION, args=(control.spec().to_dict(),), on_success=after, on_failure=after, job_timeout=-1
    )
    serve(worker, control)

    control.wait_for(ReportKind.SUCCEEDED)
    assert called == []
