"""EndpointStatus jobs: one, many, and the files of a finished one."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from pytest_django import DjangoAssertNumQueries
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.contract import coordination, storage_keys
from gpu_worker.contract.spec import ReportKind
from jobs.models import Job
from jobs.tasks import record
from tests import factories
from tests.jobs.reports import dispatched, report

pytestmark = pytest.mark.usefixtures("redis", "store")

VIDEO = bytes(range(256)) * 4


@pytest.fixture
def finished(acme: Organization) -> Job:
    """A job that succeeded, with its files in the store."""
    job = dispatched(factories.job(acme))
    prefix = storage_keys.attempt_prefix(acme.id, job.id, 1)
    default_storage.save(storage_keys.output_video(prefix), ContentFile(VIDEO))
    default_storage.save(storage_keys.thumbnail(prefix), ContentFile(b"jpeg"))
    record(report(job, ReportKind.SUCCEEDED))
    job.refresh_from_db()
    return job


def test_live_progress_is_that_of_the_current_attempt(
    acme: Organization, acme_client: APIClient, redis: Redis
) -> None:
    job = dispatched(factories.job(acme))
    record(report(job, ReportKind.STARTED))
    coordination.write_progress(redis, job.id, coordination.Progress(1, "sampling", 0, 2, 3, 4, 0.4))
    shown = acme_client.get(f"/v1/jobs/{job.id}").json()
    assert (shown["status"], shown["stage"], shown["progress"]) == ("processing", "sampling", 40)
    dispatched(job, attempt=2)
    assert acme_client.get(f"/v1/jobs/{job.id}").json()["progress"] == 0


def test_a_queued_job_tells_how_many_are_before_it(acme: Organization, acme_client: APIClient) -> None:
    factories.job(acme)
    second = factories.job(acme)
    assert acme_client.get(f"/v1/jobs/{second.id}").json()["queue_position"] == 2


def test_times_have_milliseconds(acme: Organization, acme_client: APIClient) -> None:
    shown = acme_client.get(f"/v1/jobs/{factories.job(acme).id}").json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["created_at"])


def test_a_strangers_job_and_one_that_never_was_give_the_same_answer(
    initech: Organization, acme_client: APIClient
) -> None:
    theirs = factories.job(initech)
    headers = {"x-request-id": "one"}
    answers = [
        acme_client.get(f"/v1/jobs/{job_id}", headers=headers)
        for job_id in (theirs.id, theirs.id[::-1], "nonsense")
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert len({answer.content for answer in answers}) == 1


def test_a_test_key_does_not_see_live_jobs(acme: Organization, acme_client: APIClient) -> None:
    live = factories.job(acme, livemode=True)
    assert acme_client.get(f"/v1/jobs/{live.id}").status_code == 404


def test_pages_go_from_the_newest_to_the_oldest_without_a_gap(
    acme: Organization, acme_client: APIClient
) -> None:
    jobs = [factories.job(acme).id for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = acme_client.get("/v1/jobs", query).json()
        seen += [job["id"] for job in page["data"]]
        cursor = page["next_cursor"]
    assert seen == jobs[::-1]


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"limit": "0"}, {"limit": "101"}, {"status": "done"}])
def test_a_bad_cursor_limit_or_filter_is_named(acme_client: APIClient, query: dict[str, str]) -> None:
    response = acme_client.get("/v1/jobs", query)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == list(query)


def test_jobs_can_be_filtered_by_status(acme: Organization, acme_client: APIClient, finished: Job) -> None:
    factories.job(acme)
    page = acme_client.get("/v1/jobs", {"status": "succeeded"}).json()
    assert [job["id"] for job in page["data"]] == [finished.id]


def test_a_job_is_read_with_three_queries_at_most(
    acme: Organization, acme_client: APIClient, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    job = factories.job(acme)
    acme_client.get("/v1/me")  # The key's last use is written, which happens once a minute.
    with django_assert_max_num_queries(3):
        acme_client.get(f"/v1/jobs/{job.id}")


def test_a_full_page_of_waiting_jobs_is_read_with_three_queries_at_most(
    acme: Organization, acme_client: APIClient, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(20):
        factories.job(acme)
    acme_client.get("/v1/me")
    with django_assert_max_num_queries(3):
        page = acme_client.get("/v1/jobs").json()
    assert [job["queue_position"] for job in page["data"]] == list(range(20, 0, -1))


def test_the_finished_video_is_served_from_its_signed_address_without_a_key(
    acme_client: APIClient, client: APIClient, finished: Job
) -> None:
    shown = acme_client.get(f"/v1/jobs/{finished.id}").json()
    assert (shown["status"], shown["progress"]) == ("succeeded", 100)
    video = client.get(shown["output"]["url"])
    assert (video["Content-Type"], video.getvalue()) == ("video/mp4", VIDEO)
    thumbnail = client.get(shown["output"]["thumbnail_url"])
    assert (thumbnail["Content-Type"], thumbnail.getvalue()) == ("image/jpeg", b"jpeg")


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "content"),
    [
        ("bytes=0-9", 206, "bytes 0-9/1024", VIDEO[:10]),
        ("bytes=1000-", 206, "bytes 1000-1023/1024", VIDEO[1000:]),
        ("bytes=-4", 206, "bytes 1020-1023/1024", VIDEO[-4:]),
        ("bytes=1024-", 416, "bytes */1024", b""),
        ("bytes=5-1", 416, "bytes */1024", b""),
        ("bytes=-0", 416, "bytes */1024", b""),
        pytest.param(f"bytes={'9' * 4400}-", 416, "bytes */1024", b"", id="far beyond the end"),
        pytest.param(f"bytes=-{'9' * 4400}", 200, None, VIDEO, id="far before the beginning"),
        pytest.param(f"bytes=0-{'9' * 4400}", 200, None, VIDEO, id="all and much more"),
        ("bytes=0-1,5-6", 200, None, VIDEO),
        ("lines=0-1", 200, None, VIDEO),
    ],
)
def test_a_player_can_ask_for_a_part_of_the_video(
    acme_client: APIClient,
    client: APIClient,
    finished: Job,
    asked: str,
    status: int,
    content_range: str | None,
    content: bytes,
) -> None:
    url = acme_client.get(f"/v1/jobs/{finished.id}").json()["output"]["url"]
    answer = client.get(url, headers={"range": asked})
    assert (answer.status_code, answer.get("Content-Range"), answer.getvalue()) == (
        status,
        content_range,
        content,
    )


def test_content_redirects_to_the_signed_address(acme_client: APIClient, finished: Job) -> None:
    response = acme_client.get(f"/v1/jobs/{finished.id}/content", {"variant": "thumbnail"})
    assert response.status_code == 302
    assert "/v1/files/" in response["Location"]


def test_a_signed_address_dies_with_the_files(
    acme_client: APIClient, client: APIClient, finished: Job
) -> None:
    url = acme_client.get(f"/v1/jobs/{finished.id}").json()["output"]["url"]
    with time_machine.travel(finished.expires_at + timedelta(seconds=1)):
        assert client.get(url).status_code == 410


def test_an_address_that_was_not_signed_by_us_is_not_found(client: APIClient) -> None:
    assert client.get("/v1/files/aaaa:bbbb:cccc").status_code == 404


def test_the_content_of_a_job_that_has_none_is_a_conflict(acme: Organization, acme_client: APIClient) -> None:
    response = acme_client.get(f"/v1/jobs/{factories.job(acme).id}/content")
    assert (response.status_code, response.json()["code"]) == (409, "conflict")


def test_expired_content_is_gone_and_the_record_says_so(acme_client: APIClient, finished: Job) -> None:
    Job.objects.filter(pk=finished.pk).update(expired=True)
    assert acme_client.get(f"/v1/jobs/{finished.id}/content").status_code == 410
    shown = acme_client.get(f"/v1/jobs/{finished.id}").json()
    assert (shown["expired"], shown["output"]) == (True, None)


def test_cancelling_a_queued_job_ends_it_at_once(acme: Organization, acme_client: APIClient) -> None:
    job = factories.job(acme)
    response = acme_client.post(f"/v1/jobs/{job.id}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "canceled")
    assert acme_client.post(f"/v1/jobs/{job.id}/cancel").status_code == 200


def test_cancelling_a_running_job_asks_its_worker(
    acme: Organization, acme_client: APIClient, redis: Redis
) -> None:
    job = dispatched(factories.job(acme))
    record(report(job, ReportKind.STARTED))
    coordination.announce_attempt(redis, job.id, 1)
    assert acme_client.post(f"/v1/jobs/{job.id}/cancel").json()["status"] == "processing"
    assert coordination.read_control(redis, job.id) == coordination.Control(1, coordination.Stop.CANCEL)


def test_a_job_that_has_ended_otherwise_cannot_be_canceled(acme_client: APIClient, finished: Job) -> None:
    assert acme_client.post(f"/v1/jobs/{finished.id}/cancel").status_code == 409


@pytest.mark.parametrize(
    "moment", ["2026-11-21T18:27:27+16:00", "2026-11-21T18:27:27-23:59", "0001-01-02T00:00:00Z"]
)
def test_a_time_with_any_offset_is_understood(acme_client: APIClient, moment: str) -> None:
    assert acme_client.get("/v1/jobs", {"created_after": moment}).status_code == 200


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+16:00", "9999-12-31T23:59:59-16:00", "2026-11-21"])
def test_a_time_beyond_the_calendar_or_without_an_offset_is_refused(
    acme_client: APIClient, moment: str
) -> None:
    refused = acme_client.get("/v1/jobs", {"created_after": moment, "created_before": "soon"})
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["created_after", "created_before"]


def test_a_filter_given_twice_means_any_of_them(acme_client: APIClient, acme: Organization) -> None:
    queued, processing, _ = (
        factories.job(acme, **fields)
        for fields in (
            {"metadata": {"order": "1"}},
            {"status": "processing", "metadata": {"order": "2"}},
            {"status": "canceled", "finished_at": datetime.now(UTC)},
        )
    )

    def found(query: str) -> set[str]:
        return {job["id"] for job in acme_client.get(f"/v1/jobs?{query}").json()["data"]}

    assert found("status=queued&status=processing") == {queued.id, processing.id}
    assert found("metadata[order]=1&metadata[order]=2") == {queued.id, processing.id}
    assert found("status=queued&status=canceled&metadata[order]=1") == {queued.id}


@pytest.mark.parametrize("accept", ["video/mp4", "image/jpeg", "text/html", "*/*"])
def test_a_redirect_and_a_file_do_not_negotiate(
    acme_client: APIClient, client: APIClient, finished: Job, accept: str
) -> None:
    redirect = acme_client.get(f"/v1/jobs/{finished.id}/content", headers={"accept": accept})
    assert redirect.status_code == 302
    assert client.get(redirect["Location"], headers={"accept": accept}).getvalue() == VIDEO
