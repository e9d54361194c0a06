"""The admin's job pages: what operators and staff see, and what operators do."""

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client

from accounts.models import Membership, Organization, User
from gpu_worker.contract import storage_keys
from gpu_worker.contract.spec import ReportKind
from jobs.models import Job
from jobs.tasks import record
from tests import factories
from tests.jobs.reports import dispatched, report

pytestmark = pytest.mark.usefixtures("redis", "store")


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    browser = Client()
    browser.force_login(User.objects.create_superuser("olivia@example.com", "a long enough password"))
    return browser


@pytest.fixture
def staff(acme: Organization) -> Client:
    """A browser of alice, who is staff of Acme."""
    alice = User.objects.create_user("alice@example.com", "a long enough password", is_staff=True)
    Membership.objects.create(organization=acme, user=alice, role="owner")
    browser = Client()
    browser.force_login(alice)
    return browser


@pytest.fixture
def finished(acme: Organization) -> Job:
    job = dispatched(factories.job(acme))
    prefix = storage_keys.attempt_prefix(acme.id, job.id, 1)
    default_storage.save(storage_keys.output_video(prefix), ContentFile(b"video"))
    record(report(job, ReportKind.SUCCEEDED))
    return job


def page(job: Job) -> str:
    return f"/admin/jobs/job/{job.pk}/change/"


def test_a_finished_job_shows_its_video_and_what_happened(operator: Client, finished: Job) -> None:
    html = operator.get(page(finished)).content.decode()
    assert "<video" in html
    assert "/v1/files/" in html
    for event in ("processing", "succeeded"):
        assert event in html


def test_a_failed_job_says_first_why(operator: Client, acme: Organization) -> None:
    job = dispatched(factories.job(acme))
    record(report(job, ReportKind.FAILED, error_code="out_of_memory", error_detail="The GPU is full."))
    html = operator.get(page(job)).content.decode()
    content = html[html.index('id="content"') :]
    assert content.index("out_of_memory") < content.index("There is no video") < content.index("Metadata")


def test_an_empty_list_offers_no_job_to_be_created(operator: Client) -> None:
    html = operator.get("/admin/jobs/job/").content.decode()
    assert "No results found" in html
    assert "Create" not in html


@time_machine.travel("2026-11-21T14:05:06Z", tick=False)
def test_times_are_written_as_logs_write_them(operator: Client, acme: Organization) -> None:
    assert "2026-11-21 14:05:06" in operator.get(page(factories.job(acme))).content.decode()


def test_there_is_a_button_for_what_can_be_done(
    operator: Client, staff: Client, finished: Job, acme: Organization
) -> None:
    def buttons(browser: Client, job: Job) -> set[str]:
        html = browser.get(page(job)).content.decode()
        return {name for name in ("cancel", "retry") if f"/{job.pk}/{name}/" in html}

    assert buttons(operator, finished) == {"retry"}
    assert buttons(operator, factories.job(acme)) == {"cancel"}
    assert buttons(staff, finished) == set()


def test_staff_sees_the_jobs_of_its_organization_only(
    staff: Client, finished: Job, initech: Organization
) -> None:
    theirs = factories.job(initech)
    listed = staff.get("/admin/jobs/job/").content.decode()
    assert finished.id in listed
    assert theirs.id not in listed
    assert staff.get(page(theirs)).status_code == 302  # As for an id that never was.


def test_what_is_secret_in_a_job_is_on_no_page(operator: Client, finished: Job) -> None:
    finished.refresh_from_db()
    assert finished.token_hash not in operator.get(page(finished)).content.decode()


def test_an_operator_cancels_after_a_question(operator: Client, acme: Organization) -> None:
    job = factories.job(acme)
    address = f"/admin/jobs/job/{job.pk}/cancel/"
    assert "is canceled immediately" in operator.get(address).content.decode()
    operator.post(address)
    job.refresh_from_db()
    assert job.status == "canceled"


def test_a_cancel_that_comes_too_late_says_so(operator: Client, finished: Job) -> None:
    answer = operator.post(f"/admin/jobs/job/{finished.pk}/cancel/", follow=True)
    assert "already" in answer.content.decode()


def test_a_retry_whose_inputs_are_gone_says_so(operator: Client, finished: Job) -> None:
    answer = operator.post(f"/admin/jobs/job/{finished.pk}/retry/", follow=True)
    assert "inputs have been deleted" in answer.content.decode()
    assert Job.objects.count() == 1


@pytest.mark.parametrize("button", ["cancel", "retry"])
def test_staff_neither_cancels_nor_retries(staff: Client, finished: Job, button: str) -> None:
    assert staff.post(f"/admin/jobs/job/{finished.pk}/{button}/").status_code == 403
