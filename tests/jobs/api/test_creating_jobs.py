"""`POST /v1/jobs`: what is accepted, what is refused, and that a refusal leaves nothing behind."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue
from jobs.intake import sandbox
from jobs.models import Job, MonthlyUsage
from tests import factories
from tests.jobs.clients import form, keyed, wav

pytestmark = pytest.mark.usefixtures("redis", "store")


def problem_fields(response: Any) -> dict[str, str]:
    assert response["Content-Type"] == "application/problem+json"
    return {error["field"]: error["code"] for error in response.json()["errors"]}


def stored_files(store: Path) -> list[Path]:
    return [path for path in store.rglob("*") if path.is_file()]


def test_a_portrait_and_speech_are_accepted_as_a_queued_job(
    acme_client: APIClient, portrait: bytes, speech: bytes
) -> None:
    response = acme_client.post("/v1/jobs", form(portrait, speech, seed="7"))
    job = response.json()
    assert (response.status_code, response["Location"]) == (202, f"/v1/jobs/{job['id']}")
    assert (job["status"], job["stage"], job["progress"], job["livemode"]) == ("queued", "waiting", 0, False)
    assert job["input"]["seed"] == 7
    assert job["input"]["image"] | {"sha256": ""} == {
        "sha256": "", "size_bytes": len(portrait), "width": 256, "height": 320,
    }  # fmt: skip
    assert job["input"]["audio"]["duration_seconds"] == 0.5


def test_the_store_holds_normalised_copies_under_the_jobs_own_prefix(
    acme_client: APIClient, acme: Organization, store: Path, portrait: bytes, speech: bytes
) -> None:
    job = acme_client.post("/v1/jobs", form(portrait, speech)).json()
    folder = store / "org" / acme.id / "jobs" / job["id"] / "in"
    assert {path.name for path in stored_files(store)} == {"reference.png", "speech-0.flac"}
    assert all(path.parent == folder for path in stored_files(store))


def test_a_created_job_is_dispatched_once_its_row_is_committed(
    acme_client: APIClient,
    portrait: bytes,
    speech: bytes,
    redis: Redis,
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = acme_client.post("/v1/jobs", form(portrait, speech)).json()
    assert render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis).job_ids == [f"{job['id']}-1"]


@pytest.mark.parametrize("missing", ["image", "audio"])
def test_a_missing_file_is_named(
    acme_client: APIClient, portrait: bytes, speech: bytes, missing: str
) -> None:
    sent = form(portrait, speech)
    del sent[missing]
    response = acme_client.post("/v1/jobs", sent)
    assert (response.status_code, problem_fields(response)) == (422, {missing: "required"})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"seed": "seven"}, {"seed": "invalid"}),
        ({"seed": "4294967296"}, {"seed": "max_value"}),
        ({"resolution": "4k"}, {"resolution": "invalid_choice"}),
        ({"prompt": "x" * 2001}, {"prompt": "max_length"}),
        ({"prompt": "a\x00b"}, {"prompt": "null_characters_not_allowed"}),
        ({"colour": "red"}, {"colour": "unknown"}),
        ({"metadata": "{"}, {"metadata": "invalid"}),
        ({"metadata": '{"a": 1}'}, {"metadata": "invalid"}),
        ({"metadata": '{"simulate": "an_earthquake"}'}, {"metadata": "invalid"}),
        ({"speaker_boxes": '[{"x": 0.9, "y": 0, "width": 0.2, "height": 1}]'}, {"speaker_boxes": "invalid"}),
        ({"speaking_order": "together"}, {"speaking_order": "second_speaker_required"}),
        ({"image": "not a file"}, {"image": "invalid"}),
    ],
)
def test_a_field_that_does_not_fit_is_named(
    acme_client: APIClient, portrait: bytes, speech: bytes, fields: dict[str, str], named: dict[str, str]
) -> None:
    response = acme_client.post("/v1/jobs", {**form(portrait, speech), **fields})
    assert response.status_code == 422
    assert {name.split(".")[0]: code for name, code in problem_fields(response).items()} == named


def test_a_part_that_comes_twice_is_refused(acme_client: APIClient, portrait: bytes, speech: bytes) -> None:
    response = acme_client.post("/v1/jobs", form(portrait, speech, prompt=["one", "two"]))
    assert problem_fields(response) == {"prompt": "duplicate"}


def test_metadata_may_come_part_by_part(acme_client: APIClient, portrait: bytes, speech: bytes) -> None:
    response = acme_client.post("/v1/jobs", form(portrait, speech, **{"metadata[order]": "17"}))
    assert response.json()["metadata"] == {"order": "17"}


def test_a_file_that_is_no_picture_is_refused_and_nothing_stays(
    acme_client: APIClient, speech: bytes, store: Path
) -> None:
    response = acme_client.post("/v1/jobs", form(b"no picture", speech))
    assert (response.status_code, problem_fields(response)) == (422, {"image": "image_unreadable"})
    assert stored_files(store) == []
    assert not Job.objects.exists()


def test_an_intake_that_does_not_start_is_our_fault_and_not_the_files(
    acme_client: APIClient, portrait: bytes, speech: bytes, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_server", None)
    monkeypatch.setattr(sandbox, "START", "raise SystemExit(1)")
    response = acme_client.post("/v1/jobs", form(portrait, speech))
    assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
    assert int(response["Retry-After"]) > 0
    assert stored_files(store) == []


def test_speech_longer_than_the_plan_allows_is_refused(
    acme: Organization, acme_client: APIClient, portrait: bytes
) -> None:
    acme.test_plan.max_speech_seconds = 1
    acme.test_plan.save()
    response = acme_client.post("/v1/jobs", form(portrait, wav(1.5)))
    assert problem_fields(response) == {"audio": "audio_too_long"}


def test_two_speeches_in_turn_count_together(
    acme: Organization, acme_client: APIClient, portrait: bytes
) -> None:
    acme.test_plan.max_speech_seconds = 1
    acme.test_plan.save()
    files = form(portrait, wav(0.6))
    files["audio_2"] = form(None, wav(0.6))["audio"]
    response = acme_client.post("/v1/jobs", {**files, "speaking_order": "first_then_second"})
    assert problem_fields(response) == {"audio_2": "audio_too_long"}


def test_a_file_larger_than_the_plan_allows_is_refused(
    acme: Organization, acme_client: APIClient, portrait: bytes, speech: bytes
) -> None:
    acme.test_plan.max_upload_bytes = 1000
    acme.test_plan.save()
    response = acme_client.post("/v1/jobs", form(portrait, speech))
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


def test_a_preset_outside_the_plan_is_refused(
    acme: Organization, acme_client: APIClient, portrait: bytes, speech: bytes
) -> None:
    acme.test_plan.presets = ["fast"]
    acme.test_plan.save()
    response = acme_client.post("/v1/jobs", form(portrait, speech, preset="quality"))
    assert (response.status_code, response.json()["code"]) == (403, "not_in_plan")


def test_a_full_queue_refuses_and_says_when_to_come_back(
    acme: Organization, acme_client: APIClient, portrait: bytes, speech: bytes, store: Path
) -> None:
    acme.test_plan.queued_jobs = 1
    acme.test_plan.save()
    factories.job(acme)
    response = acme_client.post("/v1/jobs", form(portrait, speech))
    assert (response.status_code, response.json()["code"]) == (429, "queue_full")
    assert int(response["Retry-After"]) > 0
    assert stored_files(store) == []


class TestLiveMode:
    @pytest.fixture
    def live(self, acme: Organization) -> APIClient:
        return keyed(factories.key(acme, livemode=True))

    def test_the_speech_is_reserved_against_the_month(
        self, live: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        live.post("/v1/jobs", form(portrait, speech, resolution="480p"))
        assert MonthlyUsage.objects.get().reserved_seconds == Decimal("0.5")

    def test_speech_beyond_the_months_quota_is_refused_and_nothing_is_reserved(
        self, acme: Organization, live: APIClient, portrait: bytes
    ) -> None:
        acme.video_seconds_per_month = 1
        acme.save()
        response = live.post("/v1/jobs", form(portrait, wav(1.5), resolution="480p"))
        assert (response.status_code, response.json()["code"]) == (429, "quota_exceeded")
        assert not MonthlyUsage.objects.filter(reserved_seconds__gt=0).exists()
