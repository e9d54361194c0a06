"""Reporting a video: open to anybody, however it is named, and not too often."""

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs.models import Job, TakeDownReport
from jobs.presenters import hls, signed_urls
from jobs.presenters.signed_urls import Download
from tests import factories

pytestmark = pytest.mark.django_db

FORM = {"reason": "likeness", "details": "That is my face.", "email": "alice@example.com"}


@pytest.fixture
def job(redis: Redis) -> Job:
    return factories.job(factories.organization("Acme"), status="succeeded", finished_at=timezone.now())


def report(named: str) -> TakeDownReport:
    answer = Client().post("/report", FORM | {"named": named})
    received = TakeDownReport.objects.get()
    assert received.pk in answer.content.decode()
    return received


def test_the_page_is_open_to_anybody(client: Client) -> None:
    page = client.get("/report")
    assert page.status_code == 200
    assert "default-src 'none'" in page["Content-Security-Policy"]


@pytest.mark.parametrize("naming", ["id", "console", "comment", "file", "stream", "store"])
def test_a_video_is_found_however_it_is_named(job: Job, naming: str) -> None:
    key = f"org/{job.organization_id}/jobs/{job.pk}/a1/output.mp4"
    token = signed_urls.sign(Download(key, "video/mp4", "video.mp4"), timezone.now())
    names = {
        "id": job.pk,
        "console": f"https://api.example.com/console/videos/{job.pk}",
        "comment": f"Made by a machine (http://cv.iptc.org/), {job.pk}",
        "file": f"https://api.example.com/v1/files/{token}?download=1",
        "stream": f"https://api.example.com/v1/streams/{hls.sign(job.pk, 0)}/playlist.m3u8",
        "store": f"https://store.example.com/bucket/{key}?X-Amz-Signature=secret",
    }
    received = report(names[naming])
    assert (received.job, received.named, received.state) == (job, job.pk, "open")


def test_a_stranger_does_not_learn_whether_a_video_exists(redis: Redis) -> None:
    received = report("https://elsewhere.example/video.mp4?signature=secret")
    assert (received.job, received.named) == (None, "https://elsewhere.example/video.mp4")


def test_what_is_missing_is_said_beside_its_field(redis: Redis, client: Client) -> None:
    answer = client.post("/report", {"named": "", "reason": "boredom"})
    assert answer.status_code == 422
    assert answer.content.decode().count('class="error"') == 2


def test_a_report_needs_no_address_and_no_explanation(redis: Redis, client: Client) -> None:
    assert client.post("/report", {"named": "job_x", "reason": "minor"}).status_code == 200
    assert TakeDownReport.objects.get().email is None


def test_the_sixth_report_of_a_minute_is_refused(redis: Redis, client: Client) -> None:
    answers = [client.post("/report", FORM | {"named": "job_x"}).status_code for _ in range(6)]
    assert answers == [200] * 5 + [429]
    assert TakeDownReport.objects.count() == 5


def test_what_the_reporter_wrote_is_encrypted(job: Job) -> None:
    report(job.pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(row::text, '') FROM jobs_takedownreport AS row")
        written = cursor.fetchone()[0]
    assert "alice" not in written
    assert "my face" not in written


def test_every_page_leads_to_it(client: Client) -> None:
    for address in ("/", "/playground", "/report"):
        page = client.get(address, headers={"Accept": "text/html,*/*;q=0.8"}).content.decode()
        assert '<a href="/report">' in page
