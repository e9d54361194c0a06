"""A live job on RunPod, from the request to the video: RunPod is played, the SDK and the handler are real."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from gpu_worker.contract import storage_keys
from jobs.management.commands.control_worker import worker_of
from jobs.models import Job
from jobs.scheduling import dispatch
from jobs.scheduling.autoscaling import trigger
from tests import factories
from tests.gpu_worker import runpod_plane
from tests.gpu_worker.runpod_plane import KEY, ControlPlane
from tests.jobs.clients import form, keyed, png, wav

pytest.importorskip("runpod", reason="RunPod's SDK isn't installed: requirements/worker.txt brings it")

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240.0


@contextmanager
def worker_of_the_endpoint(plane: ControlPlane, settings: Settings, folder: Path) -> Iterator[None]:
    """What RunPod starts when there is a request and no worker."""
    environment = {
        "PATH": os.environ["PATH"],
        "REDIS_URL": settings.REDIS_URL,
        "STORAGE_DIR": str(folder / "store"),
        "TMPDIR": str(folder),
        "PAINTED_GATES": str(folder),
    }
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.gpu_worker.painted_serverless"],
            env=environment | plane.environment,
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        yield
        worker.terminate()
        assert worker.wait(SECONDS) == 0
    finally:
        worker.kill()
        worker.wait()


def control_until(redis: Redis, condition: Callable[[], object], what: str) -> None:
    """What the control workers do, one after the other, until the condition is true."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {SECONDS} s for {what}"
        dispatch.dispatch_jobs()
        for queue in ("outbound", "reports"):
            worker_of(queue, redis).work(burst=True, logging_level="WARNING")
        time.sleep(0.05)


@pytest.fixture
def plane(settings: Settings) -> Iterator[ControlPlane]:
    with runpod_plane.of_deployment(settings) as plane:
        yield plane


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_live_job_wakes_a_worker_from_zero_and_the_next_one_finds_it_warm(
    redis: Redis,
    store: Path,
    settings: Settings,
    plane: ControlPlane,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = keyed(factories.key(factories.organization("Acme", plan="scale"), livemode=True))
    first = create(client)
    control_until(redis, lambda: plane.asked, "the first wake")
    with worker_of_the_endpoint(plane, settings, tmp_path):
        control_until(redis, lambda: video_of(first), "the first video")
        control_until(redis, lambda: "wake-0" in plane.answers, "the end of the first turn")
        redis.delete(trigger.KEY)  # RunPod has had its rest.
        second = create(client)
        control_until(redis, lambda: video_of(second), "the second video")
        control_until(redis, lambda: "wake-1" in plane.answers, "the end of the second turn")
    assert [plane.answers[wake]["output"]["attempts"] for wake in ("wake-0", "wake-1")] == [1, 1]
    assert len(plane.asked) == 2
    assert KEY not in caplog.text + (tmp_path / "worker.log").read_text()


def create(client: APIClient) -> str:
    answer = client.post("/v1/jobs", form(png(256, 320), wav(1.0)))
    assert answer.status_code == 202, answer.content
    return str(answer.json()["id"])


def video_of(job_id: str) -> bool:
    """Whether the job has ended well and its video is in the store."""
    job = Job.objects.get(pk=job_id)
    assert job.status not in ("failed", "canceled"), job.error_detail
    prefix = storage_keys.attempt_prefix(job.organization_id, job.id, job.attempt)
    return job.status == "succeeded" and default_storage.exists(storage_keys.output_video(prefix))
