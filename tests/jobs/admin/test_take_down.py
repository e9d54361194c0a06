"""What operators do about reported videos: files go at once, and a receipt stays."""

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Organization, User
from gpu_worker.contract import storage_keys
from jobs.lifecycle import take_down
from jobs.models import Job, TakeDownReport
from jobs.operations import erasure
from tests import factories
from tests.jobs.reports import dispatched
from tests.jobs.stores import keys, put

pytestmark = pytest.mark.usefixtures("redis", "store")


@pytest.fixture
def operator(db: None) -> Client:
    browser = Client()
    browser.force_login(User.objects.create_superuser("olivia@example.com", "a long enough password"))
    return browser


@pytest.fixture
def finished(acme: Organization) -> Job:
    job = factories.job(acme, status="succeeded", finished_at=timezone.now(), output={"sha256": "ab" * 32})
    put(storage_keys.output_video(storage_keys.attempt_prefix(acme.pk, job.pk, 1)))
    put(f"{storage_keys.inputs_prefix(acme.pk, job.pk)}reference.png")
    return job


def reported(job: Job) -> TakeDownReport:
    return take_down.take_in(named=job.pk, reason="likeness", details="", email="")


def press(browser: Client, report: TakeDownReport, button: str) -> list[str]:
    """Confirm it; the messages that the next page shows."""
    answer = browser.post(f"/admin/jobs/takedownreport/{report.pk}/{button}/")
    report.refresh_from_db()
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_all_files_of_the_job_go_at_once_and_a_receipt_stays(operator: Client, finished: Job) -> None:
    report = reported(finished)
    assert finished.pk in operator.get("/admin/jobs/takedownreport/").content.decode()
    shown = operator.get(f"/admin/jobs/takedownreport/{report.pk}/change/").content.decode()
    assert "Remove the files" in shown
    assert press(operator, report, "remove_files") == []
    assert keys() == set()
    finished.refresh_from_db()
    assert finished.expired
    assert report.receipt == {"job": finished.pk, "files": 2, "video_sha256": "ab" * 32}
    assert (report.state, report.decided_by.email) == ("removed", "olivia@example.com")


def test_a_dismissed_report_removes_nothing_and_stays_decided(operator: Client, finished: Job) -> None:
    report = reported(finished)
    assert press(operator, report, "dismiss") == []
    assert (report.state, len(keys())) == ("dismissed", 2)
    assert press(operator, report, "remove_files") == ["This report has been dismissed already."]
    assert len(keys()) == 2


def test_a_waiting_job_is_canceled_and_a_running_one_asked_to_stop_first(
    operator: Client, acme: Organization
) -> None:
    waiting, running = factories.job(acme), dispatched(factories.job(acme))
    Job.objects.filter(pk=running.pk).update(status="processing")
    assert press(operator, reported(waiting), "remove_files") == []
    report = reported(running)
    assert press(operator, report, "remove_files") == [
        "The job is being stopped. Remove its files in a few seconds."
    ]
    waiting.refresh_from_db()
    running.refresh_from_db()
    assert (waiting.status, waiting.expired, report.state) == ("canceled", True, "open")
    assert running.cancel_requested_at is not None


def test_the_receipt_outlasts_the_organization(operator: Client, acme: Organization, finished: Job) -> None:
    report = reported(finished)
    press(operator, report, "remove_files")
    erasure.erase(acme, erasure.traces_of(acme))
    report.refresh_from_db()
    assert (report.job, report.named, report.receipt["files"]) == (None, finished.pk, 2)


def test_staff_of_an_organization_see_no_reports(acme: Organization, finished: Job) -> None:
    alice = User.objects.create_user("alice@example.com", "a long enough password", is_staff=True)
    Membership.objects.create(organization=acme, user=alice, role="owner")
    browser = Client()
    browser.force_login(alice)
    report = reported(finished)
    for address in ("", f"{report.pk}/change/", f"{report.pk}/remove_files/"):
        assert browser.get(f"/admin/jobs/takedownreport/{address}").status_code in (302, 403, 404)
    browser.post(f"/admin/jobs/takedownreport/{report.pk}/remove_files/")
    assert len(keys()) == 2
