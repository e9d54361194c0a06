"""What reconcile sets going again, and what it leaves alone."""

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from redis import Redis

from accounts.models import Organization
from gpu_worker.contract import coordination, heartbeats, storage_keys
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue
from gpu_worker.contract.spec import ReportKind
from jobs.models import Job
from jobs.operations.reconcile import reconcile
from jobs.scheduling import dispatch
from jobs.tasks import record
from tests import factories
from tests.jobs.reports import VIDEO, dispatched, report

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def running(acme: Organization, redis: Redis) -> Job:
    """A job in the hands of a worker that holds its lease."""
    job = dispatched(factories.job(acme))
    record(report(job, ReportKind.STARTED))
    coordination.announce_attempt(redis, job.id, 1)
    coordination.hold_lease(redis, job.id, 1, "worker")
    return job


def after(job: Job, *seconds: float) -> Job:
    """The job after rounds of reconcile at these times, in seconds from now."""
    begin = timezone.now()
    for moment in seconds:
        with time_machine.travel(begin + timedelta(seconds=moment)):
            reconcile()
    job.refresh_from_db()
    return job


def expire_lease(job: Job, redis: Redis) -> None:
    redis.delete(f"lease:{job.id}:{job.attempt}")


def every_ten_seconds(until: int) -> list[float]:
    return list(range(0, until + 1, 10))


def test_a_job_that_was_never_rung_is_rung(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    assert reconcile().rung == 1
    job.refresh_from_db()
    assert job.attempt == 1


def test_an_attempt_that_the_queue_has_lost_is_rung_again(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    dispatch.dispatch_jobs()
    redis.flushdb()
    assert after(job, 20).attempt == 2
    assert render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis).job_ids == [f"{job.id}-2"]


def test_an_attempt_that_waits_in_the_queue_is_left_alone(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    dispatch.dispatch_jobs()
    assert after(job, *every_ten_seconds(120)).attempt == 1


def test_an_attempt_that_a_worker_took_and_was_lost_over_at_once_is_rung_again(
    acme: Organization, redis: Redis
) -> None:
    job = factories.job(acme)
    reconcile()
    queue = render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis)
    redis.lmove(queue.key, queue.intermediate_queue.key)  # What RQ's dequeue does first.
    assert after(job, 11, 22).attempt == 2
    assert queue.job_ids == [f"{job.id}-2"]
    assert queue.intermediate_queue.get_job_ids() == []


def test_a_worker_that_holds_its_lease_is_left_alone(running: Job) -> None:
    assert after(running, *every_ten_seconds(50)).status == "processing"


def test_a_lost_worker_that_had_finished_is_taken_down_as_a_success(running: Job, redis: Redis) -> None:
    prefix = storage_keys.attempt_prefix(running.organization_id, running.id, 1)
    result = {"video": asdict(VIDEO), "receipt": {}, "gpu_seconds": 3.0}
    default_storage.save(storage_keys.result(prefix), ContentFile(json.dumps(result).encode()))
    expire_lease(running, redis)
    after(running, 0)
    assert (running.status, running.losses) == ("succeeded", 0)


def test_a_cancel_request_outlives_the_worker_that_was_to_obey_it(running: Job, redis: Redis) -> None:
    Job.objects.filter(pk=running.pk).update(cancel_requested_at=timezone.now())
    heartbeats.declare_gone(redis, "worker")
    assert after(running, 1).status == "canceled"


def test_a_cancel_request_that_redis_forgot_is_said_again(running: Job, redis: Redis) -> None:
    Job.objects.filter(pk=running.pk).update(cancel_requested_at=timezone.now())
    reconcile()
    assert coordination.read_control(redis, running.id) == coordination.Control(1, coordination.Stop.CANCEL)


def test_files_go_when_their_time_is_over_and_the_record_stays(running: Job, redis: Redis) -> None:
    key = storage_keys.output_video(storage_keys.attempt_prefix(running.organization_id, running.id, 1))
    default_storage.save(key, ContentFile(b"video"))
    record(report(running, ReportKind.SUCCEEDED))
    after(running, running.retention_seconds - 60)
    assert default_storage.exists(key)
    after(running, running.retention_seconds + 1)
    assert (running.expired, running.status) == (True, "succeeded")
    assert not default_storage.exists(key)


def test_a_store_that_fails_holds_back_nothing_but_what_needs_it(
    acme: Organization, redis: Redis, store: Path
) -> None:
    ended = factories.job(acme, status="failed", finished_at=timezone.now(), expires_at=timezone.now())
    folder = store / storage_keys.job_prefix(acme.pk, ended.pk)
    folder.parent.mkdir(parents=True)
    folder.touch()  # No folder, so it can't be emptied.
    factories.job(acme)
    repaired = reconcile()
    assert (repaired.expired, repaired.rung) == (0, 1)
    folder.unlink()
    assert reconcile().expired == 1
