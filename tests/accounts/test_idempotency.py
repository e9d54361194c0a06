"""`Idempotency-Key` on every POST that creates something: sent again, it makes nothing more."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, Organization
from jobs.models import Asset, Job, WebhookEndpoint
from jobs.states import Status
from tests import factories
from tests.accounts.conftest import Key

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

ONCE = {"Idempotency-Key": "order-17"}
ASSET = {"content_type": "audio/wav", "size_bytes": 10}
WEBHOOK = {"url": "https://receiver.example/hook"}
API_KEY = {"name": "Shop"}


def post(api: Client, key: Key, address: str, body: dict[str, Any] | None = None) -> Any:
    headers = key.headers | ONCE
    return api.post(address, body or {}, content_type="application/json", headers=headers)


@pytest.fixture
def ended(acme: Organization, store: Path) -> Job:
    """A job that can be retried."""
    default_storage.save("nowhere/reference.png", ContentFile(b"x"))
    now = timezone.now()
    return factories.job(acme, status=Status.CANCELED, finished_at=now, expires_at=now + timedelta(hours=6))


CREATIONS = [
    ("/v1/assets", ASSET, Asset),
    ("/v1/webhooks", WEBHOOK, WebhookEndpoint),
    ("/v1/api-keys", API_KEY, ApiKey),
]


@pytest.mark.parametrize(("address", "body", "model"), CREATIONS)
def test_the_same_request_sent_again_makes_one_object(
    api: Client, acme_key: Key, address: str, body: dict[str, Any], model: type[Any]
) -> None:
    before = model.objects.count()
    first, again = (post(api, acme_key, address, body) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert model.objects.count() == before + 1


@pytest.mark.parametrize(("address", "body", "model"), CREATIONS)
def test_another_body_under_the_same_key_is_refused(
    api: Client, acme_key: Key, address: str, body: dict[str, Any], model: type[Any]
) -> None:
    post(api, acme_key, address, body)
    name = next(iter(body))
    other = post(api, acme_key, address, body | {name: f"{body[name]}2"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_job_is_retried_once_under_one_key(api: Client, acme_key: Key, ended: Job) -> None:
    first, again = (post(api, acme_key, f"/v1/jobs/{ended.pk}/retry") for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again["Idempotent-Replayed"] == "true"
    assert Job.objects.count() == 2


def test_a_key_that_retried_one_job_retries_no_other(
    api: Client, acme: Organization, acme_key: Key, ended: Job
) -> None:
    post(api, acme_key, f"/v1/jobs/{ended.pk}/retry")
    other = post(api, acme_key, f"/v1/jobs/{factories.job(acme).pk}/retry")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_refused_retry_frees_its_key(api: Client, acme: Organization, acme_key: Key) -> None:
    job = factories.job(acme)
    codes = [post(api, acme_key, f"/v1/jobs/{job.pk}/retry").json()["code"] for _ in range(2)]
    assert codes == ["conflict", "conflict"]


def test_a_key_belongs_to_its_endpoint(api: Client, acme_key: Key) -> None:
    made = [post(api, acme_key, address, body) for address, body, _ in CREATIONS]
    assert [answer.status_code for answer in made] == [201, 201, 201]
    assert not any("Idempotent-Replayed" in answer for answer in made)


def test_the_text_of_a_key_is_shown_once(api: Client, acme_key: Key) -> None:
    first, again = (post(api, acme_key, "/v1/api-keys", API_KEY).json() for _ in range(2))
    assert first["key"].startswith(f"av_test_{first['id']}_")
    assert again == first | {"key": None}


def test_a_replay_tells_the_secret_of_a_webhook_again(api: Client, acme_key: Key) -> None:
    first, again = (post(api, acme_key, "/v1/webhooks", WEBHOOK).json() for _ in range(2))
    assert again["secret"] == first["secret"]
