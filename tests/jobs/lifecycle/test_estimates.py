"""What a job would be, take and cost: asked before it is made."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import close_old_connections
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import IdempotencyClaim, Organization
from jobs.lifecycle import estimates
from jobs.models import Asset, Job, JobEvent, MonthlyUsage
from jobs.queues import outbound_queue
from jobs.scheduling import window_times
from tests import factories
from tests.jobs.clients import form, keyed, wav
from tests.jobs.file_server import FileServer, serving_files
from tests.jobs.loopback import serving
from tests.jobs.render_workers import register

pytestmark = pytest.mark.usefixtures("redis", "store")

PORTRAIT = Path(__file__).parents[3] / "samples" / "portrait.png"
ADDRESSES = ["/v1/estimates", "/v1/jobs?validate_only=true"]


@pytest.fixture
def live(acme: Organization) -> APIClient:
    """A program that holds a live key of Acme, whose plan has every preset."""
    acme.plan.presets = ["fast", "balanced", "quality"]
    acme.plan.save()
    return keyed(factories.key(acme, livemode=True))


@pytest.fixture
def server(settings: Settings) -> Iterator[FileServer]:
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with serving_files() as server:
        yield server


def codes(answer: dict[str, Any]) -> set[str]:
    return {warning["code"] for warning in answer["warnings"]}


def past_job(acme: Organization, gpu_seconds: float, windows: int, **fields: Any) -> Job:
    job = factories.job(acme, gpu_seconds=gpu_seconds, windows=windows, **fields)
    Job.objects.filter(pk=job.pk).update(status="succeeded", finished_at=job.created_at)
    return job


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_answer_tells_what_the_job_would_be_and_nothing_is_kept(
    live: APIClient, portrait: bytes, store: Path, redis: Redis, address: str
) -> None:
    headers = {"idempotency-key": "order-17"}
    sent = form(portrait, wav(4), resolution="480p", preset="balanced", seed="7")
    response = live.post(address, sent, headers=headers)
    answer = response.json()
    assert (response.status_code, answer["object"], answer["livemode"]) == (200, "estimate", True)
    assert (answer["duration_seconds"], answer["windows"]) == (4.0, 2)
    assert (answer["input"]["image"]["width"], answer["input"]["seed"]) == (256, 7)
    assert answer["estimated_seconds"] > 0
    assert not any(model.objects.exists() for model in (Job, JobEvent, Asset, IdempotencyClaim, MonthlyUsage))
    assert not [path for path in store.rglob("*") if path.is_file()]
    assert outbound_queue(redis).job_ids == []


def test_it_tells_the_place_in_the_queue_and_the_faces_that_were_found(
    acme: Organization, acme_client: APIClient, redis: Redis
) -> None:
    register(redis, 1)
    factories.job(acme)
    answer = acme_client.post("/v1/estimates", form(PORTRAIT.read_bytes(), wav(1))).json()
    (face,) = answer["faces"]
    assert (answer["queue_position"], answer["eta_seconds"] > answer["estimated_seconds"]) == (2, True)
    assert face["speaks"]
    assert 0.3 < face["x"] + face["width"] / 2 < 0.6


def test_the_cost_is_what_the_job_will_be_charged(
    acme: Organization, live: APIClient, portrait: bytes
) -> None:
    answer = live.post("/v1/estimates", form(portrait, wav(4), resolution="480p", preset="balanced")).json()
    price = acme.plan.price_per_video_second_usd
    assert Decimal(answer["estimated_cost_usd"]) == 4 * price * Decimal("0.5") * Decimal("1.8")


def test_test_mode_is_free(acme_client: APIClient, portrait: bytes, speech: bytes) -> None:
    answer = acme_client.post("/v1/estimates", form(portrait, speech)).json()
    assert Decimal(answer["estimated_cost_usd"]) == 0


class TestSeconds:
    def test_before_the_first_job_they_are_computed_from_the_models_operations(
        self, live: APIClient, portrait: bytes
    ) -> None:
        fast, quality = (
            live.post("/v1/estimates", form(portrait, wav(4), resolution="480p", preset=preset)).json()
            for preset in ("fast", "quality")
        )
        assert "not_measured" in codes(fast)
        assert quality["estimated_seconds"] > 10 * fast["estimated_seconds"]

    def test_afterwards_the_median_of_such_jobs_counts(
        self, acme: Organization, initech: Organization, acme_client: APIClient, portrait: bytes
    ) -> None:
        for seconds, windows, owner in ((20, 10, acme), (12, 4, initech), (500, 1, acme)):
            past_job(owner, seconds, windows)
        past_job(acme, 1000, 1, preset="quality")
        factories.job(acme, gpu_seconds=1000, windows=1)
        answer = acme_client.post("/v1/estimates", form(portrait, wav(4), resolution="480p")).json()
        assert (answer["estimated_seconds"], answer["windows"]) == (6.0, 2)
        assert "not_measured" not in codes(answer)

    def test_of_many_jobs_the_newest_count(
        self, acme: Organization, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        for seconds in [100.0] * 10 + [2.0] * window_times.HISTORY:
            past_job(acme, seconds, 1)
        answer = acme_client.post("/v1/estimates", form(portrait, speech, resolution="480p")).json()
        assert answer["estimated_seconds"] == 2.0


class TestWarnings:
    def test_a_reference_smaller_than_the_video(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        assert "reference_small" in codes(
            acme_client.post("/v1/estimates", form(portrait, speech, resolution="480p")).json()
        )

    def test_a_queue_that_is_full_now(
        self, acme: Organization, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        acme.test_plan.queued_jobs = 1
        acme.test_plan.save()
        factories.job(acme)
        answer = acme_client.post("/v1/estimates", form(portrait, speech))
        assert (answer.status_code, "queue_full" in codes(answer.json())) == (200, True)

    def test_a_month_that_is_used_up(self, acme: Organization, live: APIClient, portrait: bytes) -> None:
        acme.video_seconds_per_month = 1
        acme.save()
        answer = live.post("/v1/estimates", form(portrait, wav(1.5), resolution="480p"))
        assert (answer.status_code, "quota_exceeded" in codes(answer.json())) == (200, True)


class TestRefusals:
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_the_same_faults_are_named_as_for_a_job(
        self, acme_client: APIClient, speech: bytes, address: str
    ) -> None:
        response = acme_client.post(address, form(b"no picture", speech))
        assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "image_unreadable")

    def test_what_is_not_in_the_plan_is_refused(
        self, acme: Organization, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        acme.test_plan.presets = ["fast"]
        acme.test_plan.save()
        assert acme_client.post("/v1/estimates", form(portrait, speech, preset="quality")).status_code == 403

    @pytest.mark.parametrize("query", ["validate_only=yes", "validate_only=", "validateonly=true", "x=1"])
    def test_a_parameter_that_cannot_be_read_is_named(
        self, acme_client: APIClient, portrait: bytes, speech: bytes, query: str
    ) -> None:
        response = acme_client.post(f"/v1/jobs?{query}", form(portrait, speech))
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, query.split("=")[0])
        assert not Job.objects.exists()

    def test_validate_only_false_makes_a_job(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        response = acme_client.post("/v1/jobs?validate_only=false", form(portrait, speech))
        assert response.status_code == 202


class TestAddresses:
    def test_files_at_addresses_are_fetched_at_once(
        self, acme_client: APIClient, server: FileServer, portrait: bytes, speech: bytes, store: Path
    ) -> None:
        server.files |= {"/a.png": portrait, "/a.wav": speech}
        body = {"image_url": server.url("/a.png?key=1"), "audio_url": server.url("/a.wav")}
        answer = acme_client.post("/v1/estimates", body, format="json").json()
        assert (answer["duration_seconds"], answer["input"]["image"]["width"]) == (0.5, 256)
        assert answer["input"]["image"]["url"] == server.url("/a.png")
        assert not [path for path in store.rglob("*") if path.is_file()]

    @pytest.mark.parametrize(
        ("path", "code"),
        [("/404", "download_failed"), ("/403", "download_forbidden"), ("/a.wav", "image_unreadable")],
    )
    def test_a_fault_is_that_of_the_field(
        self, acme_client: APIClient, server: FileServer, speech: bytes, path: str, code: str
    ) -> None:
        server.files["/a.wav"] = speech
        body = {"image_url": server.url(path), "audio_url": server.url("/a.wav")}
        response = acme_client.post("/v1/jobs?validate_only=true", body, format="json")
        (error,) = response.json()["errors"]
        assert (response.status_code, error["field"], error["code"]) == (422, "image_url", code)

    def test_all_of_them_together_have_ten_seconds(
        self,
        acme_client: APIClient,
        server: FileServer,
        portrait: bytes,
        speech: bytes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert estimates.FETCH_SECONDS == 10
        monkeypatch.setattr(estimates, "FETCH_SECONDS", 0.0)
        server.files |= {"/a.png": portrait, "/a.wav": speech}
        body = {"image_url": server.url("/a.png"), "audio_url": server.url("/a.wav")}
        response = acme_client.post("/v1/estimates", body, format="json")
        assert response.json()["errors"][0]["code"] == "download_failed"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_tenant_whose_servers_hang_holds_no_more_than_two_threads(
    acme: Organization, portrait: bytes, settings: Settings
) -> None:
    settings.OUTBOUND_ALLOW_PRIVATE = True
    client, ended = keyed(factories.key(acme)), threading.Event()
    with ExitStack() as stack:
        server = stack.enter_context(serving(lambda connection: stop_waiting(connection, ended)))
        pool = stack.enter_context(ThreadPoolExecutor())
        stack.callback(ended.set)
        sent = {"image_url": f"http://127.0.0.1:{server.port}/", "audio_url": "https://a.example/a.wav"}
        hanging = [pool.submit(estimated, client, sent) for _ in range(estimates.AT_ONCE_OF_ONE_TENANT)]
        while len(server.requests) < len(hanging):
            time.sleep(0.01)
        assert estimated(client, sent) == (429, "concurrency_limited")
        ended.set()
        assert {future.result() for future in hanging} == {(422, "validation_error")}
        assert estimated(client, sent) == (422, "validation_error")


def stop_waiting(connection: socket.socket, ended: threading.Event) -> None:
    ended.wait()
    connection.close()


def estimated(client: APIClient, sent: dict[str, str]) -> tuple[int, str]:
    try:
        response: Any = client.post("/v1/estimates", sent, format="json")
        return response.status_code, response.json()["code"]
    finally:
        close_old_connections()
