"""When an attempt is lost, and when it isn't."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from redis import Redis

from accounts.models import Organization
from gpu_worker.contract import coordination, heartbeats, storage_keys
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue, report_queue
from gpu_worker.contract.spec import EngineName, RenderReport, ReportKind
from gpu_worker.runtime.report_outbox import send
from jobs.models import Job, JobEvent
from jobs.operations.attempts import reconcile_attempts
from jobs.scheduling import dispatch
from jobs.tasks import record
from tests import factories
from tests.jobs.render_workers import beat
from tests.jobs.reports import VIDEO, dispatched, report

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def running(acme: Organization, redis: Redis) -> Job:
    """A job in the hands of a worker that holds its lease."""
    return started(acme, redis)


def started(acme: Organization, redis: Redis) -> Job:
    job = dispatched(factories.job(acme))
    record(report(job, ReportKind.STARTED))
    coordination.hold_lease(redis, job.id, 1, "worker")
    return job


def look(redis: Redis, job: Job, at: datetime | None = None) -> Job:
    """The job after a look at this moment."""
    with time_machine.travel(at or timezone.now(), tick=False):
        reconcile_attempts(redis)
    job.refresh_from_db()
    return job


def keep_looking(redis: Redis, job: Job, begin: datetime, first: int, last: int) -> Job:
    """The job after looks every two seconds, in seconds after `begin`."""
    for second in range(first, last + 1, 2):
        look(redis, job, begin + timedelta(seconds=second))
    return job


def let_expire(redis: Redis, job: Job) -> None:
    redis.delete(f"lease:{job.id}:{job.attempt}")


def age(redis: Redis, key: str, seconds: float, lasting: int = coordination.LEASE_SECONDS) -> None:
    redis.pexpire(key, int(1000 * (lasting - seconds)))


def facts_of_loss(job: Job) -> dict[str, object]:
    return dict(JobEvent.objects.get(job=job, type="lost").data)


def test_an_attempt_of_a_worker_that_is_gone_is_lost_at_once(running: Job, redis: Redis) -> None:
    look(redis, running)
    heartbeats.declare_gone(redis, "worker")
    assert (look(redis, running).status, running.losses) == ("queued", 1)
    assert facts_of_loss(running)["reason"] == "gone"


def test_an_attempt_that_its_worker_knows_nothing_of_is_lost(running: Job, redis: Redis) -> None:
    beat(redis, "worker", ("job_another", 1))
    assert look(redis, running).losses == 1
    assert facts_of_loss(running)["reason"] == "contradicted"


def test_a_worker_that_has_just_changed_what_it_does_is_given_time_for_its_last_report(
    running: Job, redis: Redis
) -> None:
    beat(redis, "worker", same_for_seconds=1)
    assert look(redis, running).status == "processing"


def test_a_worker_that_names_the_attempt_keeps_it(running: Job, redis: Redis) -> None:
    beat(redis, "worker", (running.id, 1))
    assert look(redis, running).status == "processing"


def test_an_attempt_whose_worker_is_known_no_more_by_its_lease_is_found_by_its_heartbeat(
    running: Job, redis: Redis
) -> None:
    beat(redis, "worker", (running.id, 1))
    look(redis, running)
    redis.flushdb()
    beat(redis, "worker")
    assert look(redis, running).losses == 1


def test_a_heartbeat_that_is_overdue_says_nothing(running: Job, redis: Redis) -> None:
    beat(redis, "worker")
    age(redis, "worker:heartbeat:worker", 20, heartbeats.KEPT_SECONDS)
    assert look(redis, running).status == "processing"


def test_reports_that_wait_count_before_what_is_known_of_the_worker(running: Job, redis: Redis) -> None:
    send(redis, RenderReport.from_dict(report(running, ReportKind.WINDOW, windows_done=1)))
    heartbeats.declare_gone(redis, "worker")
    assert look(redis, running).status == "processing"
    report_queue(redis).empty()
    assert look(redis, running).losses == 1


def test_reports_of_others_keep_no_attempt_from_being_lost(
    running: Job, acme: Organization, redis: Redis
) -> None:
    other = dispatched(factories.job(acme))
    send(redis, RenderReport.from_dict(report(other, ReportKind.STARTED)))
    heartbeats.declare_gone(redis, "worker")
    assert look(redis, running).losses == 1


def test_a_silent_worker_is_lost_after_the_time_of_its_lease(running: Job, redis: Redis) -> None:
    begin = timezone.now()
    age(redis, f"lease:{running.id}:1", 14)
    look(redis, running, begin)
    let_expire(redis, running)
    assert keep_looking(redis, running, begin, 2, 44).status == "processing"
    assert keep_looking(redis, running, begin, 46, 48).losses == 1
    assert facts_of_loss(running)["reason"] == "silent"


def test_an_outage_of_redis_pauses_the_clock_of_a_silent_worker(running: Job, redis: Redis) -> None:
    begin = timezone.now()
    age(redis, f"lease:{running.id}:1", 30)
    look(redis, running, begin)
    let_expire(redis, running)
    keep_looking(redis, running, begin, 2, 10)  # 40 s of silence, then nobody can look for 300 s.
    assert keep_looking(redis, running, begin, 310, 328).status == "processing"
    assert keep_looking(redis, running, begin, 330, 334).losses == 1


def test_a_lease_that_is_held_again_in_time_saves_the_attempt(running: Job, redis: Redis) -> None:
    begin = timezone.now()
    let_expire(redis, running)
    keep_looking(redis, running, begin, 0, 50)
    coordination.hold_lease(redis, running.id, 1, "worker")
    assert keep_looking(redis, running, begin, 52, 90).status == "processing"


def test_the_third_loss_without_a_window_fails_the_job(running: Job, redis: Redis) -> None:
    Job.objects.filter(pk=running.pk).update(losses=2)
    heartbeats.declare_gone(redis, "worker")
    assert (look(redis, running).status, running.error_code) == ("failed", "worker_lost")


def test_a_gone_worker_that_had_finished_has_succeeded(running: Job, redis: Redis) -> None:
    leave_result(running, {"video": asdict(VIDEO), "receipt": {}, "gpu_seconds": 3.0})
    heartbeats.declare_gone(redis, "worker")
    assert (look(redis, running).status, running.losses) == ("succeeded", 0)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'{"video": {}}', b"\xff\x00", b'{"video": NaN}'])
def test_a_damaged_result_is_no_success_and_stops_nobody(
    running: Job, acme: Organization, redis: Redis, content: bytes
) -> None:
    other = started(acme, redis)
    default_storage.save(result_key(running), ContentFile(content))
    heartbeats.declare_gone(redis, "worker")
    assert look(redis, running).losses == 1
    other.refresh_from_db()
    assert other.losses == 1


def test_an_attempt_that_the_queue_has_lost_is_dispatched_again_within_seconds(
    acme: Organization, redis: Redis
) -> None:
    job = factories.job(acme)
    dispatch.dispatch_jobs()
    redis.flushdb()
    look(redis, job, timezone.now() + timedelta(seconds=4))
    dispatch.dispatch_jobs()
    assert render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis).job_ids == [f"{job.id}-2"]


@pytest.mark.parametrize("entry", [{"data": b"\xff"}, {"created_at": b"yesterday"}, {"status": b"\xff"}])
def test_an_entry_of_the_queue_that_is_damaged_is_replaced(
    acme: Organization, redis: Redis, entry: dict[str, bytes]
) -> None:
    job = factories.job(acme)
    dispatch.dispatch_jobs()
    redis.delete(f"rq:job:{job.id}-1")
    redis.hset(f"rq:job:{job.id}-1", mapping=entry)  # type: ignore[arg-type]
    redis.delete("rq:queue:render-cpu")
    look(redis, job, timezone.now() + timedelta(seconds=4))
    assert job.dispatched_at is None or job.status == "processing"


def leave_result(job: Job, result: dict[str, object]) -> None:
    default_storage.save(result_key(job), ContentFile(json.dumps(result).encode()))


def result_key(job: Job) -> str:
    return storage_keys.result(storage_keys.attempt_prefix(job.organization_id, job.id, job.attempt))
