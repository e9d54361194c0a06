"""What reaches a job, and its owner, of a report that is odd."""

import pytest
from redis import Redis

from accounts.models import Organization
from gpu_worker.contract.spec import ReportKind
from jobs import counters
from jobs.models import Job
from jobs.tasks import record
from tests import factories
from tests.jobs.clients import keyed
from tests.jobs.reports import dispatched, report


@pytest.fixture
def job(acme: Organization, redis: Redis) -> Job:
    job = dispatched(factories.job(acme))
    record(report(job, ReportKind.STARTED))
    return job


def test_more_windows_than_the_job_has_are_dropped_and_counted(job: Job, redis: Redis) -> None:
    record(report(job, ReportKind.WINDOW, windows_done=100_000))
    job.refresh_from_db()
    assert job.window_prefixes == []
    assert redis.hgetall("metrics:avatar_dropped") == {b'["a report"]': b"1"}


@pytest.mark.parametrize(
    ("code", "detail", "seen"),
    [
        ("face_not_found", "No face was found.", ("face_not_found", "No face was found.")),
        ("out_of_memory", "in /opt/worker/engine.py", ("out_of_memory", None)),
        ("out_of_memory", "see https://bucket.example/key", ("out_of_memory", None)),
        ("out_of_memory", "x" * 24_000, ("out_of_memory", None)),
        ("out_of_memory", "Traceback\n  File", ("out_of_memory", None)),
        ("no_such_code", "anything", ("internal_error", None)),
        (None, None, ("internal_error", None)),
    ],
)
def test_only_codes_of_the_contract_and_plain_sentences_reach_the_owner(
    job: Job, code: str | None, detail: str | None, seen: tuple[str, str | None]
) -> None:
    record(report(job, ReportKind.FAILED, error_code=code, error_detail=detail))
    job.refresh_from_db()
    assert job.error_code == seen[0]
    if seen[1] is not None:
        assert job.error_detail == seen[1]
    assert "/" not in job.error_detail
    assert len(job.error_detail) < 300


def test_an_odd_progress_hides_the_progress_of_that_job_alone(
    job: Job, acme: Organization, redis: Redis
) -> None:
    redis.set(f"progress:{job.id}", '{"x":1}')
    answer = keyed(factories.key(acme)).get("/v1/jobs")
    assert answer.status_code == 200
    assert [each["progress"] for each in answer.json()["data"]] == [0]
    assert counters.dropped.collect(redis).samples
