"""On which consent a job rests: who has to say so, and where it is kept."""

import json
import logging
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.limits import effective_limits
from accounts.models import Organization, Plan
from jobs.models import Job
from tests import factories
from tests.jobs.clients import form

pytestmark = pytest.mark.usefixtures("redis", "store")

CONSENT = {"subject": "Alice Liddell", "basis": "permission", "reference": "release 2026-041"}


@pytest.fixture
def files(portrait: bytes, speech: bytes) -> dict[str, Any]:
    return form(portrait, speech)


@pytest.fixture
def strict(acme: Organization) -> None:
    """Acme's plan requires a consent, in both modes."""
    Plan.objects.filter(pk__in=(acme.plan_id, acme.test_plan_id)).update(consent_required=True)


def faults(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.content
    return {error["field"]: error["code"] for error in answer.json()["errors"]}


def test_it_comes_back_with_the_job_and_stands_in_the_audit_log(
    acme_client: APIClient, files: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    created = acme_client.post("/v1/jobs", files | {"consent": json.dumps(CONSENT)}).json()
    assert created["input"]["consent"] == CONSENT
    entry = LogEntry.objects.get_for_object(Job.objects.get()).get()
    assert {name: new for name, (_, new) in entry.changes_dict.items()} == CONSENT
    assert entry.additional_data == {"api_key": Job.objects.get().api_key_id}
    assert CONSENT["subject"] not in caplog.text


def test_where_none_is_required_a_job_may_come_without_and_leaves_no_entry(
    acme_client: APIClient, files: dict[str, Any]
) -> None:
    assert acme_client.post("/v1/jobs", files).json()["input"]["consent"] is None
    assert not LogEntry.objects.get_for_model(Job).exists()


@pytest.mark.usefixtures("strict")
def test_a_plan_may_require_it_and_says_so(acme_client: APIClient, files: dict[str, Any]) -> None:
    assert acme_client.get("/v1/me").json()["plan"]["limits"]["consent_required"] is True
    assert faults(acme_client.post("/v1/jobs", files)) == {"consent": "required"}
    assert not Job.objects.exists()


@pytest.mark.usefixtures("strict")
def test_a_job_that_came_before_the_requirement_is_not_retried_without(
    acme: Organization, acme_client: APIClient
) -> None:
    earlier = factories.job(acme, status="failed", finished_at=timezone.now())
    assert faults(acme_client.post(f"/v1/jobs/{earlier.pk}/retry")) == {"consent": "required"}


def test_an_operator_may_require_it_of_one_organization(acme: Organization) -> None:
    acme.consent_required = True
    assert effective_limits(acme).consent_required is True


@pytest.mark.parametrize(
    ("consent", "field"),
    [
        ({"subject": "Alice"}, "consent.basis"),
        ({"basis": "synthetic"}, "consent.subject"),
        ({"subject": " ", "basis": "synthetic"}, "consent.subject"),
        ({"subject": "Alice", "basis": "hearsay"}, "consent.basis"),
        ({"subject": "A" * 201, "basis": "synthetic"}, "consent.subject"),
        ({"subject": "Alice", "basis": "synthetic", "age": 7}, "consent.age"),
        ("yes", "consent"),
    ],
)
def test_half_an_attestation_is_refused_by_field(acme_client: APIClient, consent: object, field: str) -> None:
    body = {"image_url": "https://example.com/a.png", "audio_url": "https://example.com/a.wav"}
    sent = json.dumps(body | {"consent": consent})
    answer = acme_client.generic("POST", "/v1/jobs", sent, content_type="application/json")
    assert list(faults(answer)) == [field]
