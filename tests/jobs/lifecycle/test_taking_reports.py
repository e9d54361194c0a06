"""Reports reach the database though the worker that reads them dies, or the database goes away."""

import pytest
from django.db import connection
from redis import Redis
from rq import Queue

from accounts.models import Organization
from gpu_worker.contract.queues import REPORT_FUNCTION, report_queue
from gpu_worker.contract.spec import ReportKind
from jobs import tasks
from jobs.management.commands.control_worker import worker_of
from jobs.models import Job
from jobs.operations.reconcile import reconcile
from jobs.queues import put_back
from tests import factories
from tests.jobs.reports import dispatched, report


@pytest.fixture
def job(acme: Organization) -> Job:
    return dispatched(factories.job(acme))


def sent(job: Job, *kinds: ReportKind, redis: Redis) -> Queue:
    """The queue with these reports in it."""
    queue = report_queue(redis)
    for kind in kinds:
        queue.enqueue(REPORT_FUNCTION, args=(report(job, kind),), job_id=kind, result_ttl=0)
    return queue


def take(queue: Queue) -> None:
    """Take the next report, as a worker does that is killed a moment later."""
    worker = worker_of("reports", queue.connection)
    taken = worker.dequeue_job_and_maintain_ttl(None)
    assert taken is not None
    worker.prepare_execution(taken[0])


def test_what_a_lost_reader_had_in_hand_is_read_first_by_the_next(job: Job, redis: Redis) -> None:
    queue = sent(job, ReportKind.STARTED, ReportKind.SUCCEEDED, redis=redis)
    take(queue)
    assert put_back(queue) == 1
    assert queue.job_ids == [ReportKind.STARTED, ReportKind.SUCCEEDED]
    assert put_back(queue) == 0


def test_what_a_reader_was_about_to_take_is_not_forgotten(job: Job, redis: Redis) -> None:
    queue = sent(job, ReportKind.STARTED, redis=redis)
    redis.lmove(queue.key, queue.intermediate_queue.key)
    assert put_back(queue) == 1
    assert queue.job_ids == [ReportKind.STARTED]
    assert put_back(queue) == 0


def test_a_report_that_its_reader_took_as_redis_broke_off_is_put_back_by_repair(
    job: Job, redis: Redis
) -> None:
    queue = sent(job, ReportKind.SUCCEEDED, redis=redis)
    redis.lmove(queue.key, queue.intermediate_queue.key)
    assert reconcile().put_back == 0  # It may be in somebody's hands.
    assert reconcile().put_back == 1
    assert queue.job_ids == [ReportKind.SUCCEEDED]
    assert reconcile().put_back == 0


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_report_waits_for_a_database_that_goes_away(
    job: Job, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "RETRY_SECONDS", 0.05)
    with connection.cursor() as cursor, connection.copy().cursor() as elsewhere:
        cursor.execute("SELECT pg_backend_pid()")
        elsewhere.execute("SELECT pg_terminate_backend(%s)", cursor.fetchone())
        elsewhere.connection.close()
    tasks.record(report(job, ReportKind.SUCCEEDED))
    job.refresh_from_db()
    assert job.status == "succeeded"
