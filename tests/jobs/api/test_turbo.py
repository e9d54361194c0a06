"""The distilled presets: what they render, what they refuse, and how a request gets there."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.contract import heartbeats
from gpu_worker.contract.heartbeats import Heartbeat
from jobs.models import Job
from jobs.presenters import hls
from tests import factories
from tests.jobs.clients import form, wav

pytestmark = pytest.mark.usefixtures("redis", "store")


def upload(content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("file", content)


def refused(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.content
    return {error["field"]: error["code"] for error in answer.json()["errors"]}


def offer(redis: Redis, *presets: str) -> None:
    heartbeats.write(redis, Heartbeat("worker", "preview", True, (), False, 0.0, None, presets))


def test_short_windows_are_counted_from_the_first_to_the_last(
    acme_client: APIClient, portrait: bytes
) -> None:
    job = acme_client.post("/v1/jobs", form(portrait, wav(3.4), preset="turbo")).json()
    assert job["window"]["total"] == 4  # 85 frames: 28 in each window, for the lead-in isn't shown.
    assert job["input"]["resolution"] == "480p"


@pytest.mark.parametrize("preset", ["turbo", "instant"])
def test_what_the_weights_were_not_trained_for_is_refused_with_the_reason(
    acme_client: APIClient, portrait: bytes, preset: str
) -> None:
    speech = wav(0.5)
    large = acme_client.post("/v1/jobs", form(portrait, speech, preset=preset, resolution="720p"))
    assert refused(large) == {"resolution": "not_with_preset"}
    two = acme_client.post("/v1/jobs", form(portrait, speech, preset=preset, audio_2=upload(speech)))
    assert refused(two) == {"preset": "one_speaker_only"}
    dubbed = acme_client.post(
        "/v1/jobs", {"video": upload(portrait), "audio": upload(speech), "preset": preset}
    )
    assert "image_required" in refused(dubbed).values()


def test_a_preset_whose_weights_no_worker_has_is_refused(
    acme_client: APIClient, portrait: bytes, speech: bytes, redis: Redis
) -> None:
    offer(redis, "balanced", "fast", "quality")
    answer = acme_client.post("/v1/jobs", form(portrait, speech, preset="turbo"))
    assert refused(answer) == {"preset": "not_offered"}
    assert "Choose one of balanced, fast, quality." in answer.json()["errors"][0]["detail"]
    assert not Job.objects.exists()
    offer(redis, "turbo")
    assert acme_client.post("/v1/jobs", form(portrait, speech, preset="turbo")).status_code == 202


def test_an_estimate_names_the_cheaper_preset_if_the_request_allows_it(
    acme_client: APIClient, portrait: bytes, speech: bytes
) -> None:
    def cheaper(**fields: Any) -> str | None:
        answer = acme_client.post("/v1/estimates", form(portrait, speech, **fields))
        assert answer.status_code == 200, answer.content
        name: str | None = answer.json()["cheaper_preset"]
        return name

    assert cheaper(resolution="480p", preset="fast") == "instant"
    assert cheaper(resolution="720p", preset="fast") is None
    assert cheaper(resolution="720p", preset="quality") == "fast"
    assert cheaper(preset="instant") is None
    assert cheaper(resolution="480p", audio_2=upload(speech)) is None


def test_its_playlist_promises_segments_of_its_own_length(acme: Organization) -> None:
    job = factories.job(acme, preset="turbo", num_frames=85, window_prefixes=["a1/", "a1/"], windows=4)
    token = hls.sign(job.id, 2**33)
    lines = hls.playlist(hls.read_token(token)).splitlines()
    assert "#EXT-X-TARGETDURATION:2" in lines
    assert [line for line in lines if line.startswith("#EXTINF")] == ["#EXTINF:1.12,", "#EXTINF:1.12,"]


def test_a_retry_is_refused_too_once_nobody_has_the_weights(
    acme: Organization, acme_client: APIClient, redis: Redis
) -> None:
    now = timezone.now()
    ended = {"status": "failed", "finished_at": now, "expires_at": now + timedelta(hours=1)}
    job = factories.job(acme, preset="turbo", **ended)
    offer(redis, "balanced", "fast", "quality")
    assert refused(acme_client.post(f"/v1/jobs/{job.id}/retry")) == {"preset": "not_offered"}
    assert Job.objects.count() == 1
