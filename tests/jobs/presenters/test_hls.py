"""Watching a video while it is rendered, as a player does."""

import json
from datetime import timedelta
from urllib.parse import urljoin

import httpx
import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.contract import storage_keys
from gpu_worker.contract.spec import ReportKind
from jobs.models import Job, WebhookDelivery
from jobs.tasks import record
from jobs.webhooks import messages
from tests import factories
from tests.jobs.reports import dispatched, report

pytestmark = pytest.mark.usefixtures("redis", "store")

HEADER = """\
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-START:TIME-OFFSET=0
#EXT-X-MAP:URI="init.mp4"
"""
# 170 frames: the windows have 81, 72 and 17.
SEGMENTS = [
    "#EXTINF:3.24,\nsegment-00000.m4s\n",
    "#EXTINF:2.88,\nsegment-00001.m4s\n",
    "#EXTINF:0.68,\nsegment-00002.m4s\n",
]
END = "#EXT-X-ENDLIST\n"
FIRST = "segment-00000.m4s"


@pytest.fixture
def job(acme: Organization) -> Job:
    """A job of three windows whose first attempt has begun."""
    job = dispatched(factories.job(acme, num_frames=170))
    record(report(job, ReportKind.STARTED))
    return job


def finish(job: Job, window: int) -> None:
    """The current attempt saves a window, and what it plays behind, and says so."""
    prefix = storage_keys.attempt_prefix(job.organization_id, job.id, job.attempt)
    default_storage.save(storage_keys.init_section(prefix), ContentFile(b"init"))
    name = f"window {window} by attempt {job.attempt}"
    default_storage.save(storage_keys.segment(prefix, window), ContentFile(name.encode()))
    record(report(job, ReportKind.WINDOW, windows_done=window + 1))


def stream_url(program: APIClient, job: Job) -> str:
    url: str = program.get(f"/v1/jobs/{job.id}").json()["stream_url"]
    return url


def played(client: APIClient, url: str) -> bytes:
    """The file that an address of the playlist leads to."""
    redirect = client.get(url)
    assert redirect.status_code == 302
    return client.get(redirect["Location"]).getvalue()


def refused(client: APIClient, url: str) -> tuple[int, str]:
    answer = client.get(url)
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_a_job_can_be_watched_from_its_first_finished_window_on(acme_client: APIClient, job: Job) -> None:
    assert stream_url(acme_client, job) is None
    finish(job, 0)
    assert stream_url(acme_client, job).endswith("/playlist.m3u8")


def test_the_playlist_grows_by_each_window_and_changes_nothing_that_it_said(
    acme_client: APIClient, client: APIClient, job: Job
) -> None:
    finish(job, 0)
    url, texts = stream_url(acme_client, job), []
    for window in (1, 2, None):
        texts.append(client.get(url).content.decode())
        if window is not None:
            finish(job, window)
    record(report(job, ReportKind.SUCCEEDED))
    texts.append(client.get(url).content.decode())

    assert texts == [
        HEADER + SEGMENTS[0],
        HEADER + SEGMENTS[0] + SEGMENTS[1],
        HEADER + "".join(SEGMENTS),
        HEADER + "".join(SEGMENTS) + END,
    ]


@pytest.mark.parametrize("end", [ReportKind.FAILED, ReportKind.CANCELED])
def test_the_playlist_of_a_job_that_ends_early_ends_with_what_is_there(
    acme_client: APIClient, client: APIClient, job: Job, end: ReportKind
) -> None:
    finish(job, 0)
    record(report(job, end, windows_done=1))
    text = client.get(stream_url(acme_client, job)).content.decode()
    assert text == HEADER + SEGMENTS[0] + END


def test_each_segment_is_played_from_where_its_attempt_left_it(
    acme_client: APIClient, client: APIClient, job: Job
) -> None:
    finish(job, 0)
    record(report(job, ReportKind.HANDED_BACK, windows_done=1))
    url = stream_url(acme_client, job)
    assert END not in client.get(url).content.decode(), "the job only waits for its next attempt"

    job = dispatched(job, attempt=2)
    record(report(job, ReportKind.STARTED))
    finish(job, 1)

    assert stream_url(acme_client, job) == url
    assert played(client, urljoin(url, "init.mp4")) == b"init"
    segments = [played(client, urljoin(url, f"segment-{window:05d}.m4s")) for window in range(2)]
    assert segments == [b"window 0 by attempt 1", b"window 1 by attempt 2"]


def test_everything_has_its_media_type(acme_client: APIClient, client: APIClient, job: Job) -> None:
    finish(job, 0)
    url = stream_url(acme_client, job)
    addresses = [url, *(client.get(urljoin(url, name))["Location"] for name in ("init.mp4", FIRST))]
    answers = [client.get(address) for address in addresses]
    assert [answer["Content-Type"] for answer in answers if answer.getvalue()] == [
        "application/vnd.apple.mpegurl",
        "video/mp4",
        "video/iso.segment",
    ]


def test_a_bucket_gives_each_file_to_whoever_was_redirected_there(
    acme_client: APIClient, client: APIClient, job: Job, bucket: None
) -> None:
    finish(job, 0)
    url = stream_url(acme_client, job)
    answers = [httpx.get(client.get(urljoin(url, name))["Location"]) for name in ("init.mp4", FIRST)]
    assert [(answer.headers["Content-Type"], answer.content) for answer in answers] == [
        ("video/mp4", b"init"),
        ("video/iso.segment", b"window 0 by attempt 1"),
    ]


def test_the_player_may_be_on_any_page(acme_client: APIClient, client: APIClient, job: Job) -> None:
    """What it asks for, where that leads to, and why there is nothing."""
    finish(job, 0)
    url = stream_url(acme_client, job)
    segment = client.get(urljoin(url, FIRST))
    for address in (url, urljoin(url, FIRST), segment["Location"], urljoin(url, "segment-00007.m4s")):
        answer = client.get(address)
        answer.close()
        assert answer["Access-Control-Allow-Origin"] == "*"


def test_a_player_that_accepts_videos_only_is_not_refused(
    acme_client: APIClient, client: APIClient, job: Job
) -> None:
    finish(job, 0)
    url = stream_url(acme_client, job)
    assert client.get(url, headers={"accept": "video/mp4"}).status_code == 200
    segment = client.get(urljoin(url, FIRST), headers={"accept": "video/mp4"})
    file = client.get(segment["Location"], headers={"accept": "video/mp4"})
    assert file.getvalue() == b"window 0 by attempt 1"


def test_only_what_changes_no_more_may_be_kept(acme_client: APIClient, client: APIClient, job: Job) -> None:
    finish(job, 0)
    url = stream_url(acme_client, job)
    assert client.get(url)["Cache-Control"] == "no-store"
    assert client.get(urljoin(url, FIRST))["Cache-Control"] == "private, max-age=300"
    record(report(job, ReportKind.SUCCEEDED))
    assert client.get(url)["Cache-Control"] == "private, max-age=300"


@pytest.mark.parametrize("name", ["playlist.m3u8", "init.mp4", FIRST])
def test_nothing_is_asked_of_the_database_but_the_jobs_row(
    acme_client: APIClient,
    client: APIClient,
    job: Job,
    name: str,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    finish(job, 0)
    url = urljoin(stream_url(acme_client, job), name)
    with django_assert_num_queries(1):
        client.get(url)


@pytest.mark.parametrize("name", ["playlist.m3u8", "init.mp4", FIRST, "segment-00007.m4s"])
def test_head_tells_what_get_would(acme_client: APIClient, client: APIClient, job: Job, name: str) -> None:
    finish(job, 0)
    url = urljoin(stream_url(acme_client, job), name)
    head, get = client.head(url), client.get(url)
    assert head.status_code == get.status_code
    assert head["Content-Type"] == get["Content-Type"]
    assert head.content == b""


def test_a_window_that_is_not_finished_is_not_found(
    acme_client: APIClient, client: APIClient, job: Job
) -> None:
    finish(job, 0)
    url = stream_url(acme_client, job)
    for name in ("segment-00001.m4s", f"segment-{10**30}.m4s"):
        assert refused(client, urljoin(url, name)) == (404, "not_found")


@pytest.mark.parametrize("name", ["playlist.m3u8", "init.mp4", FIRST])
def test_an_address_that_was_not_signed_by_us_is_not_found(
    acme_client: APIClient, client: APIClient, job: Job, name: str
) -> None:
    finish(job, 0)
    token = stream_url(acme_client, job).split("/")[-2]
    of_a_file = client.get(urljoin(stream_url(acme_client, job), FIRST))["Location"].rsplit("/", 1)[1]
    for forged in ("x", "nul\x00", token[:-1], of_a_file):
        assert refused(client, f"/v1/streams/{forged}/{name}") == (404, "not_found")
    assert refused(client, f"/v1/files/{token}") == (404, "not_found")


def test_the_address_stays_the_same_so_that_a_page_can_ask_for_the_job_while_it_plays(
    acme_client: APIClient, job: Job
) -> None:
    with time_machine.travel("2030-05-01T00:10:00Z", tick=False) as clock:
        finish(job, 0)
        url = stream_url(acme_client, job)
        clock.shift(timedelta(hours=10))
        finish(job, 1)
        assert stream_url(acme_client, job) == url
        record(report(job, ReportKind.SUCCEEDED))
        assert stream_url(acme_client, job) == url


def test_an_address_works_for_a_day_at_least_and_for_two_at_most(
    acme_client: APIClient, client: APIClient, job: Job
) -> None:
    with time_machine.travel("2030-05-01T23:59:59Z", tick=False) as clock:
        finish(job, 0)
        url = stream_url(acme_client, job)
        clock.shift(timedelta(days=1))
        assert client.get(url).status_code == 200
        clock.move_to("2030-05-03T00:00:01Z")
        for name in ("playlist.m3u8", "init.mp4", FIRST):
            assert refused(client, urljoin(url, name)) == (410, "expired")
        assert client.get(stream_url(acme_client, job)).status_code == 200


def test_an_address_dies_with_the_files_and_so_does_where_it_leads_to(
    acme_client: APIClient, client: APIClient, job: Job
) -> None:
    finish(job, 0)
    record(report(job, ReportKind.SUCCEEDED))
    job.refresh_from_db()
    url = stream_url(acme_client, job)
    with time_machine.travel(job.expires_at - timedelta(seconds=60)):
        location = client.get(urljoin(url, FIRST))["Location"]
    with time_machine.travel(job.expires_at + timedelta(seconds=1)):
        assert stream_url(acme_client, job) is None
        for address in (url, urljoin(url, "init.mp4"), urljoin(url, FIRST), location):
            assert refused(client, address) == (410, "expired")


def test_an_address_dies_when_the_job_is_deleted(acme_client: APIClient, client: APIClient, job: Job) -> None:
    finish(job, 0)
    record(report(job, ReportKind.SUCCEEDED))
    url = stream_url(acme_client, job)
    assert acme_client.delete(f"/v1/jobs/{job.id}").status_code == 204
    assert stream_url(acme_client, job) is None
    assert refused(client, url) == (410, "expired")


def test_another_days_address_does_not_change_the_jobs_tag(acme_client: APIClient, job: Job) -> None:
    finish(job, 0)
    first = acme_client.get(f"/v1/jobs/{job.id}")
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        second = acme_client.get(f"/v1/jobs/{job.id}")
    assert first.json()["stream_url"] != second.json()["stream_url"]
    assert first["ETag"] == second["ETag"]


def test_a_webhook_is_given_an_address_when_it_is_sent_and_none_is_kept(
    acme: Organization, client: APIClient, job: Job
) -> None:
    factories.webhook(acme, event_types=["job.canceled"])
    finish(job, 0)
    record(report(job, ReportKind.CANCELED, windows_done=1))
    delivery = WebhookDelivery.objects.get(job=job.pk)

    assert "/v1/streams/" not in json.dumps(delivery.payload)
    sent = json.loads(messages.body_of(delivery, "https://api.example"))
    url = sent["data"]["stream_url"]
    assert url.startswith("https://api.example/v1/streams/")
    assert client.get(url.removeprefix("https://api.example")).status_code == 200
