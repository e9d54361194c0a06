"""People send the examples of the OpenAPI document from `/docs`: each succeeds as it stands."""

from typing import Any

import pytest
import yaml
from rest_framework.test import APIClient

from accounts.models import ApiKey, Organization
from accounts.scopes import Role
from tests import factories
from tests.accounts.conftest import make_person
from tests.avatar_api.test_openapi_document import COMMITTED, operations
from tests.jobs.clients import form, keyed, png, wav

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis", "store")]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return yaml.safe_load(COMMITTED.read_text())


@pytest.fixture
def acme() -> Organization:
    return factories.organization("Acme")


@pytest.fixture
def client(acme: Organization) -> APIClient:
    return keyed(factories.key(acme))


@pytest.fixture
def alice(acme: Organization) -> APIClient:
    """The owner's session, for what keys may never do."""
    owner = make_person("alice@example.com", acme)
    client = APIClient()
    client.force_login(owner)
    return client


@pytest.fixture
def ids(acme: Organization) -> dict[str, str]:
    """Of the objects that paths name."""
    factories.key(acme)
    member = make_person("someone@example.com", acme, Role.MEMBER)
    return {
        "member_id": member.memberships.get().member_id,
        "job_id": factories.job(acme).id,
        "webhook_id": factories.webhook(acme).id,
        "key_id": ApiKey.objects.latest("created_at").id,
    }


def test_every_example_of_a_request_in_json_succeeds(
    client: APIClient, alice: APIClient, document: dict[str, Any], ids: dict[str, str]
) -> None:
    refused, sent = {}, 0
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            if body := told.get("requestBody", {}).get("content", {}).get("application/json"):
                sent += 1
                sender = alice if told["security"] == [{"session": []}] else client
                answer = getattr(sender, method)(path.format(**ids), body["example"], format="json")
                if not 200 <= answer.status_code < 300:
                    refused[told["operationId"]] = answer.json()
    assert refused == {}
    assert sent >= 9


def test_a_form_needs_its_files_and_nothing_else(client: APIClient, document: dict[str, Any]) -> None:
    forms = [
        name
        for name, told in operations(document)
        if "multipart/form-data" in told.get("requestBody", {}).get("content", {})
    ]
    files = png(256, 320), wav(0.5)
    assert forms == ["create_estimate", "create_job"]
    assert client.post("/v1/estimates", form(*files)).status_code == 200
    assert client.post("/v1/jobs", form(*files)).status_code == 202
