"""What reports of render workers do to a job, and what they can't do."""

from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.contract import coordination
from gpu_worker.contract.spec import ReportKind
from jobs.billing.quotas import month_of
from jobs.lifecycle import transitions
from jobs.models import Job, MonthlyUsage
from jobs.tasks import record
from tests import factories
from tests.jobs.reports import dispatched, report

pytestmark = pytest.mark.usefixtures("redis")


@pytest.fixture
def job(acme: Organization) -> Job:
    return dispatched(factories.job(acme))


def told(job: Job, kind: ReportKind, **fields: object) -> Job:
    record(report(job, kind, **fields))
    job.refresh_from_db()
    return job


def events(job: Job) -> list[str]:
    return list(job.events.values_list("type", flat=True))


def test_a_started_attempt_sets_the_job_processing(job: Job) -> None:
    assert told(job, ReportKind.STARTED).status == "processing"
    assert job.started_at is not None


def test_a_report_is_taken_down_in_full_while_redis_is_away(
    job: Job,
    settings: Settings,
    django_capture_on_commit_callbacks: Any,
) -> None:
    """Started, window and end are one transition each: what follows the first must not prevent the rest."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with django_capture_on_commit_callbacks(execute=True):
        assert told(job, ReportKind.SUCCEEDED).status == "succeeded"


def test_a_success_ends_the_job_with_its_video_and_receipt(job: Job) -> None:
    told(job, ReportKind.SUCCEEDED)
    assert (job.status, job.output["width"], job.receipt) == ("succeeded", 640, {"engine": "preview"})
    assert job.expires_at is not None
    assert (job.expires_at - job.finished_at).total_seconds() == job.retention_seconds


def test_a_finished_window_is_kept_with_the_attempt_that_saved_it(job: Job) -> None:
    told(job, ReportKind.WINDOW, windows_done=1)
    assert job.window_prefixes == [f"org/{job.organization_id}/jobs/{job.id}/a1/"]


def test_windows_reported_twice_and_out_of_order_count_once(job: Job) -> None:
    for done in (2, 1, 2):
        told(job, ReportKind.WINDOW, windows_done=done)
    assert len(job.window_prefixes) == 2
    assert events(job) == ["processing", "window"]


def test_a_success_told_twice_ends_the_job_once(job: Job) -> None:
    told(job, ReportKind.SUCCEEDED)
    told(job, ReportKind.SUCCEEDED)
    assert events(job).count("succeeded") == 1


def test_a_report_of_an_older_attempt_changes_nothing(job: Job) -> None:
    late = report(job, ReportKind.SUCCEEDED)
    dispatched(job, attempt=2)
    record(late)
    job.refresh_from_db()
    assert (job.status, events(job)) == ("queued", [])


def test_a_report_without_the_attempts_token_changes_nothing(job: Job) -> None:
    assert told(job, ReportKind.SUCCEEDED, token="guessed").status == "queued"


def test_a_report_that_cannot_be_read_is_dropped(job: Job) -> None:
    record({"version": 1, "job_id": job.id})
    record({"version": 99})
    job.refresh_from_db()
    assert job.status == "queued"


def test_a_worker_that_starts_a_canceled_job_is_told_to_stop(job: Job, redis: Redis) -> None:
    transitions.cancel(job.id)
    coordination.announce_attempt(redis, job.id, job.attempt)  # It wiped the stop that came with the cancel.
    assert told(job, ReportKind.STARTED).status == "canceled"
    assert coordination.read_control(redis, job.id) == coordination.Control(
        job.attempt, coordination.Stop.CANCEL
    )


def test_a_failure_tells_its_code_and_costs_nothing(job: Job) -> None:
    told(job, ReportKind.FAILED, error_code="face_not_found", error_detail="No face.")
    assert (job.status, job.error_code, job.cost_usd) == ("failed", "face_not_found", 0)


def test_a_start_that_arrives_after_the_hand_back_does_not_start_the_job_again(job: Job) -> None:
    started = report(job, ReportKind.STARTED)
    told(job, ReportKind.HANDED_BACK, step_saved=True, windows_done=1)
    # The commit of the hand-back would dispatch; in this test nothing does.
    record(started)
    job.refresh_from_db()
    assert (job.status, job.dispatched_at, job.step_prefix[-3:]) == ("queued", None, "a1/")


def test_a_hand_back_counts_no_loss_and_keeps_the_windows(job: Job) -> None:
    told(job, ReportKind.HANDED_BACK, windows_done=1)
    assert (job.losses, len(job.window_prefixes)) == (0, 1)


def test_a_hand_back_of_a_job_that_should_be_canceled_cancels_it(job: Job) -> None:
    told(job, ReportKind.STARTED)
    Job.objects.filter(pk=job.pk).update(cancel_requested_at=job.created_at)
    assert told(job, ReportKind.HANDED_BACK).status == "canceled"


@pytest.mark.parametrize("kind", [ReportKind.FAILED, ReportKind.CANCELED, ReportKind.SUCCEEDED])
def test_an_attempt_that_was_given_up_has_no_say_any_more(job: Job, kind: ReportKind) -> None:
    told(job, ReportKind.STARTED)
    transitions.lose(job.id, 1)
    told(job, kind)
    assert (job.status, job.losses, job.gpu_seconds) == ("queued", 1, 0.0)


def test_gpu_seconds_of_all_attempts_add_up(job: Job) -> None:
    told(job, ReportKind.WINDOW, windows_done=1, gpu_seconds=5.0)
    told(job, ReportKind.HANDED_BACK, windows_done=1, gpu_seconds=6.0)
    dispatched(job, attempt=2)
    told(job, ReportKind.SUCCEEDED, gpu_seconds=2.5)
    assert job.gpu_seconds == 8.5


class TestQuota:
    @pytest.fixture
    def job(self, acme: Organization) -> Job:
        live = dispatched(factories.job(acme, livemode=True, num_frames=200, resolution="720p"))
        MonthlyUsage.objects.create(
            organization=acme, month=month_of(live.created_at), reserved_seconds=live.reserved_seconds
        )
        return live

    def test_success_charges_the_speech_once(self, job: Job) -> None:
        told(job, ReportKind.SUCCEEDED)
        told(job, ReportKind.SUCCEEDED)
        usage = MonthlyUsage.objects.get()
        assert (usage.reserved_seconds, usage.charged_seconds) == (0, 8)
        assert job.cost_usd == Decimal("0.4")

    def test_test_mode_counts_the_speech_and_charges_nothing(
        self, acme: Organization, acme_client: APIClient
    ) -> None:
        job = dispatched(factories.job(acme, num_frames=200))
        told(job, ReportKind.SUCCEEDED)
        usage = acme_client.get(f"/v1/jobs/{job.id}").json()["usage"]
        assert (usage["video_seconds"], float(usage["cost_usd"])) == (8.0, 0)
        total = acme_client.get("/v1/usage").json()["total"]
        assert (total["jobs"], total["video_seconds"], float(total["cost_usd"])) == (1, 8.0, 0)
        assert total["gpu_seconds"] == usage["gpu_seconds"] > 0
        assert not MonthlyUsage.objects.exists()

    def test_failure_charges_nothing(self, job: Job) -> None:
        told(job, ReportKind.FAILED, error_code="internal_error", error_detail="")
        usage = MonthlyUsage.objects.get()
        assert (usage.reserved_seconds, usage.charged_seconds) == (0, 0)

    def test_cancelling_charges_the_finished_windows(self, job: Job) -> None:
        told(job, ReportKind.CANCELED, windows_done=1)
        assert MonthlyUsage.objects.get().charged_seconds == Decimal("3.24")
