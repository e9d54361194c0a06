"""Inputs by address: the job is there at once and waits for its files."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import Organization
from avatar_api.common.outbound import Interrupt
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue
from jobs.lifecycle import fetching
from jobs.models import BlockedPicture, Job, MonthlyUsage
from jobs.operations.reconcile import reconcile
from jobs.queues import outbound_queue
from jobs.scheduling import dispatch
from tests import factories
from tests.jobs.clients import form, keyed, wav
from tests.jobs.file_server import FileServer, serving_files

pytestmark = pytest.mark.usefixtures("redis", "store")


@pytest.fixture
def server(settings: Settings, portrait: bytes, speech: bytes) -> Iterator[FileServer]:
    """A customer's server, with a portrait and speech."""
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with serving_files() as server:
        server.files |= {"/portrait.png": portrait, "/speech.wav": speech}
        yield server


def asked(server: FileServer, **changes: Any) -> dict[str, Any]:
    urls = {"image_url": server.url("/portrait.png"), "audio_url": server.url("/speech.wav")}
    return {**urls, "resolution": "480p", **changes}


def create(client: APIClient, body: dict[str, Any]) -> Job:
    response = client.post("/v1/jobs", body, format="json")
    assert response.status_code == 202, response.json()
    return Job.objects.get(pk=response.json()["id"])


def fetch_all() -> None:
    """Fetch what jobs wait for, as an `outbound` process does."""
    while fetches := fetching.claim_fetches(10):
        for fetch in fetches:
            fetching.fetch_inputs(fetch)


def after_fetching(job: Job) -> Job:
    fetch_all()
    job.refresh_from_db()
    return job


def shown(client: APIClient, job: Job) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/v1/jobs/{job.id}").json()
    return answer


def stored_files(store: Path) -> set[str]:
    return {path.name for path in store.rglob("*") if path.is_file()}


def test_the_job_is_there_at_once_and_nothing_was_fetched_yet(
    acme_client: APIClient, server: FileServer
) -> None:
    response = acme_client.post("/v1/jobs", asked(server), format="json")
    job = response.json()
    assert (response.status_code, job["status"], job["stage"]) == (202, "queued", "fetching")
    assert (job["progress"], job["window"]) == (0, {"current": 0, "total": 0})
    assert job["input"]["image"] == {"url": server.url("/portrait.png")}
    assert server.asked == []


def test_a_fetched_picture_that_is_blocked_fails_the_job(
    acme_client: APIClient, server: FileServer, portrait: bytes, speech: bytes
) -> None:
    earlier = acme_client.post("/v1/jobs", form(portrait, speech)).json()
    picture_hash = Job.objects.get(pk=earlier["id"]).inputs["reference"]["picture_hash"]
    BlockedPicture.objects.create(picture_hash=picture_hash, category="minor")
    job = after_fetching(create(acme_client, asked(server)))
    assert (job.status, job.error_code) == ("failed", "content_rejected")
    assert job.error_detail == "image_url: This picture may not be used here (minor)."


def test_fetched_files_are_checked_stored_and_rendered(
    acme_client: APIClient,
    server: FileServer,
    store: Path,
    redis: Redis,
    portrait: bytes,
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = create(acme_client, asked(server))
    assert outbound_queue(redis).job_ids == [f"fetch-{job.id}"]
    assert render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis).job_ids == []
    with django_capture_on_commit_callbacks(execute=True):
        fetch_all()
    job.refresh_from_db()
    assert (job.urls, job.fetch_deadline) == (None, None)
    assert (job.num_frames, job.windows, job.reserved_seconds) == (13, 1, Decimal("0.5"))
    assert stored_files(store) == {"reference.png", "speech-0.flac"}
    assert render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis).job_ids == [f"{job.id}-1"]
    told = shown(acme_client, job)
    assert told["stage"] == "waiting"
    assert told["input"]["image"] | {"sha256": ""} == {
        "url": server.url("/portrait.png"),
        "sha256": "",
        "size_bytes": len(portrait),
        "width": 256,
        "height": 320,
    }
    assert [event.type for event in job.events.all()] == ["queued", "fetched", "rung"]


def test_what_is_secret_in_an_address_is_neither_shown_nor_readable_in_the_database(
    acme_client: APIClient, server: FileServer
) -> None:
    secret = f"http://alice:pass-word@127.0.0.1:{server.port}/portrait.png?signature=0123#part"
    job = create(acme_client, asked(server, image_url=secret))
    assert shown(acme_client, job)["input"]["image"] == {"url": server.url("/portrait.png")}
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(jobs_job.*)::text FROM jobs_job")
        row = cursor.fetchone()[0]
    assert not any(word in row for word in ("alice", "pass-word", "signature=0123"))
    assert after_fetching(job).urls is None
    assert "/portrait.png?signature=0123" in server.asked


def test_a_file_that_came_with_the_request_is_judged_at_once_and_kept(
    acme_client: APIClient, server: FileServer, portrait: bytes, store: Path
) -> None:
    url = server.url("/speech.wav")
    refused = acme_client.post("/v1/jobs", form(b"no picture", None, audio_url=url))
    assert refused.json()["errors"][0]["code"] == "image_unreadable"
    created = acme_client.post("/v1/jobs", form(portrait, None, audio_url=url)).json()
    assert (created["stage"], created["input"]["image"]["width"]) == ("fetching", 256)
    assert stored_files(store) == {"reference.png"}
    job = after_fetching(Job.objects.get())
    assert (job.num_frames, server.asked) == (13, ["/speech.wav"])
    assert stored_files(store) == {"reference.png", "speech-0.flac"}


def test_a_waiting_job_is_neither_rendered_nor_in_the_way_of_others(
    acme: Organization, acme_client: APIClient, server: FileServer
) -> None:
    create(acme_client, asked(server))
    other = factories.job(acme)
    assert [dispatch.dispatch_jobs(), Job.objects.get(dispatched_at__isnull=False)] == [1, other]


class TestFaults:
    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"image_url": "/speech.wav"}, "image_unreadable"),
            ({"audio_url": "/portrait.png"}, "audio_unreadable"),
            ({"audio_url": "/404"}, "download_failed"),
            ({"audio_url": "/500"}, "download_failed"),
            ({"audio_url": "/401"}, "download_forbidden"),
            ({"audio_url": "/403"}, "download_forbidden"),
        ],
    )
    def test_a_fault_fails_the_job_and_names_the_field(
        self, acme_client: APIClient, server: FileServer, store: Path, changes: dict[str, str], code: str
    ) -> None:
        body = asked(server, **{field: server.url(path) for field, path in changes.items()})
        told = shown(acme_client, after_fetching(create(acme_client, body)))
        assert (told["status"], told["stage"], told["error"]["code"]) == ("failed", None, code)
        assert told["error"]["detail"].startswith(f"{next(iter(changes))}: ")
        assert stored_files(store) == set()

    def test_an_address_that_leads_into_our_own_network_is_forbidden(
        self, acme_client: APIClient, server: FileServer, settings: Settings
    ) -> None:
        settings.OUTBOUND_ALLOW_PRIVATE = False
        body = asked(server, image_url=f"https://localhost:{server.port}/portrait.png")
        body["audio_url"] = "https://localhost/speech.wav"
        job = after_fetching(create(acme_client, body))
        assert (job.status, job.error_code, server.asked) == ("failed", "download_forbidden", [])

    @pytest.mark.parametrize("path", ["/v1/jobs", "/v1/estimates"])
    def test_an_address_that_is_private_as_it_stands_is_refused_with_its_field(
        self, acme_client: APIClient, server: FileServer, settings: Settings, path: str
    ) -> None:
        settings.OUTBOUND_ALLOW_PRIVATE = False
        body = {"image_url": "https://169.254.169.254/a.png", "audio_url": "https://a.example/a.wav"}
        response: Any = acme_client.post(path, body, format="json")
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert (error["field"], error["code"]) == ("image_url", "private_address")

    def test_a_file_above_the_plans_limit_is_forbidden(
        self, acme: Organization, acme_client: APIClient, server: FileServer
    ) -> None:
        acme.test_plan.max_upload_bytes = 1000
        acme.test_plan.save()
        assert after_fetching(create(acme_client, asked(server))).error_code == "download_forbidden"

    def test_two_speeches_in_turn_count_together(
        self, acme: Organization, acme_client: APIClient, server: FileServer
    ) -> None:
        acme.test_plan.max_speech_seconds = 1
        acme.test_plan.save()
        server.files["/second.wav"] = wav(0.6)
        second = {"audio_2_url": server.url("/second.wav"), "speaking_order": "first_then_second"}
        assert after_fetching(create(acme_client, asked(server, **second))).error_code == "audio_too_long"

    def test_a_failed_job_can_be_retried_once_the_file_is_there(
        self, acme_client: APIClient, server: FileServer, speech: bytes
    ) -> None:
        job = after_fetching(create(acme_client, asked(server, audio_url=server.url("/later.wav"))))
        assert shown(acme_client, job)["error"]["retryable"] is True
        server.files["/later.wav"] = speech
        again = acme_client.post(f"/v1/jobs/{job.id}/retry").json()
        assert (again["stage"], again["retry_of"]) == ("fetching", job.id)
        assert after_fetching(Job.objects.get(pk=again["id"])).num_frames == 13

    def test_addresses_go_with_the_files(self, acme_client: APIClient, server: FileServer) -> None:
        job = after_fetching(create(acme_client, asked(server, audio_url=server.url("/404"))))
        assert job.urls is not None
        assert acme_client.delete(f"/v1/jobs/{job.id}").status_code == 204
        job.refresh_from_db()
        assert job.urls is None


class TestCancel:
    def test_a_job_can_be_canceled_while_it_waits_for_its_files(
        self, acme_client: APIClient, server: FileServer
    ) -> None:
        job = create(acme_client, asked(server))
        told = acme_client.post(f"/v1/jobs/{job.id}/cancel").json()
        assert (told["status"], told["usage"]["video_seconds"]) == ("canceled", 0)
        assert (after_fetching(job).status, server.asked) == ("canceled", [])

    def test_one_that_is_deleted_during_the_fetch_leaves_nothing(
        self, acme_client: APIClient, server: FileServer, store: Path
    ) -> None:
        job = create(acme_client, asked(server))

        limits = fetching.effective_limits(job.organization, livemode=False)
        with fetching.inputs.scratch_folder() as scratch:
            (image,) = fetching._fetched(job, fetching._files_of(job)[0], limits, scratch, Interrupt())
            (audio,) = fetching._fetched(job, fetching._files_of(job)[1], limits, scratch, Interrupt())
            assert acme_client.delete(f"/v1/jobs/{job.id}").status_code == 204
            fetching._take_in(job, [image, audio], limits)
        job.refresh_from_db()
        assert (job.status, job.expired, stored_files(store)) == ("canceled", True, set())


class TestLostFetches:
    def test_one_that_the_queue_lost_is_begun_again(
        self, acme_client: APIClient, server: FileServer, redis: Redis
    ) -> None:
        job = create(acme_client, asked(server))
        assert [reconcile().fetches, reconcile().fetches] == [1, 0]
        assert outbound_queue(redis).job_ids == [f"fetch-{job.id}"]

    def test_one_worker_at_a_time_fetches_for_a_job_and_another_takes_over_when_it_is_gone(
        self, acme_client: APIClient, server: FileServer
    ) -> None:
        job = create(acme_client, asked(server))
        (lost,) = fetching.claim_fetches(10)
        assert (fetching.claim_fetches(10), reconcile().fetches) == ([], 0)
        with time_machine.travel(timezone.now() + fetching.LEASE, tick=False):
            fetching.renew_leases([lost])
            assert fetching.claim_fetches(10) == []
        with time_machine.travel(timezone.now() + 2 * fetching.LEASE, tick=False):
            assert reconcile().fetches == 1
            assert after_fetching(job).urls is None

    def test_what_a_worker_gives_back_another_fetches_at_once(
        self, acme_client: APIClient, server: FileServer
    ) -> None:
        job = create(acme_client, asked(server))
        given_back = fetching.claim_fetches(10)
        fetching.give_back(given_back)
        fetching.fetch_inputs(given_back[0])
        assert server.asked == []
        assert after_fetching(job).urls is None

    def test_a_fetch_that_is_done_is_not_done_again(self, acme_client: APIClient, server: FileServer) -> None:
        job = after_fetching(create(acme_client, asked(server)))
        count = len(server.asked)
        assert (after_fetching(job).status, len(server.asked)) == ("queued", count)

    def test_when_its_time_is_over_the_job_fails(self, acme_client: APIClient, server: FileServer) -> None:
        job = create(acme_client, asked(server))
        with time_machine.travel(timezone.now() + fetching.MAX_TIME + timedelta(seconds=1), tick=False):
            reconcile()
        job.refresh_from_db()
        assert (job.status, job.error_code) == ("failed", "download_failed")


class TestQuota:
    @pytest.fixture
    def live(self, acme: Organization) -> APIClient:
        return keyed(factories.key(acme, livemode=True))

    def test_what_the_speech_may_last_is_reserved_until_its_length_is_known(
        self, acme: Organization, live: APIClient, server: FileServer
    ) -> None:
        job = create(live, asked(server))
        assert MonthlyUsage.objects.get().reserved_seconds == acme.plan.max_speech_seconds
        after_fetching(job)
        assert MonthlyUsage.objects.get().reserved_seconds == Decimal("0.5")

    def test_a_speech_whose_length_is_known_is_reserved_exactly(
        self, live: APIClient, server: FileServer, speech: bytes
    ) -> None:
        sent = form(None, speech, image_url=server.url("/portrait.png"), resolution="480p")
        assert live.post("/v1/jobs", sent).status_code == 202
        assert MonthlyUsage.objects.get().reserved_seconds == Decimal("0.5")

    def test_of_a_month_that_is_nearly_used_up_the_rest_is_reserved_and_no_more_can_be_had(
        self, acme: Organization, live: APIClient, server: FileServer
    ) -> None:
        acme.video_seconds_per_month = 1
        acme.save()
        server.files["/speech.wav"] = wav(1.5)
        job = create(live, asked(server))
        assert job.reserved_seconds == 1
        refused = live.post("/v1/jobs", asked(server), format="json")
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert after_fetching(job).error_code == "audio_too_long"
        assert MonthlyUsage.objects.get().reserved_seconds == 0

    def test_a_failed_fetch_costs_nothing(self, live: APIClient, server: FileServer) -> None:
        job = after_fetching(create(live, asked(server, audio_url=server.url("/404"))))
        usage = MonthlyUsage.objects.get()
        assert (job.cost_usd, usage.reserved_seconds, usage.charged_seconds) == (0, 0, 0)
