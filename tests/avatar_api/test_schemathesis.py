"""Schemathesis over the whole API: what the document says is what happens, whoever asks.

Every operation is asked by the organization that owns the objects named in its path, by a stranger, and by
nobody. The operation that streams is served outside of WSGI and has tests of its own.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import yaml
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from schemathesis.config import ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from accounts import rate_limits
from accounts.models import ApiKey, Membership, Organization
from jobs.models import Asset, WebhookDelivery, WebhookEndpoint
from tests import factories
from tests.avatar_api.test_openapi_document import COMMITTED, PUBLIC

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis", "store", "objects")]

TAIL = "0" * 26
IDS = {
    "job_id": f"job_{TAIL}",
    "asset_id": f"ast_{TAIL}",
    "webhook_id": f"whk_{TAIL}",
    "delivery_id": f"msg_{TAIL}",
    "key_id": "0" * 12,
    "member_id": f"mem_{TAIL}",
    "invitation_id": f"inv_{TAIL}",
}


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Django, its responses closed as servers close them."""
    with contextlib.closing(WSGIHandler()(environ, start_response)) as response:
        return [b"".join(response)]


def loaded() -> Any:
    project = ProjectConfig(parameters=IDS)
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    schema = schemathesis.openapi.from_dict(yaml.safe_load(COMMITTED.read_text()), config=config)
    schema.app = application
    return schema.exclude(operation_id="watch_job")


schema = loaded()

# Operations whose fields have rules that JSON Schema can't say: cursors, times to come, periods, files that
# must be there and readable, addresses that must be public, a change that must change something. Valid by the
# schema, they may still be a 422.
RULES_IN_WORDS = frozenset(
    {
        *("list_jobs", "list_assets", "list_api_keys", "list_webhooks", "get_usage", "update_job"),
        *("list_webhook_deliveries", "list_job_deliveries"),
        *("create_job", "create_estimate", "create_asset", "create_api_key"),
        *("create_webhook", "update_webhook"),
        *("list_invitations", "create_invitation"),
    }
)
# It takes the session, which comes in a cookie, for a field that it made up itself.
OF_FORM_AND_AUTH = [positive_data_acceptance, negative_data_rejection, ignored_auth]
# A stranger's request may be refused for its form before anything is looked up.
REFUSED = frozenset({400, 404, 405, 406, 415, 422})

bounded = hypothesis_settings(
    max_examples=5,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def acme(db: None) -> Organization:
    return factories.organization("Acme")


@pytest.fixture
def objects(acme: Organization) -> None:
    """One of each kind, under the ids that the requests ask for."""
    factories.job(acme, id=IDS["job_id"])
    Asset.objects.filter(pk=factories.asset(acme).pk).update(id=IDS["asset_id"])
    webhook = factories.webhook(acme)
    WebhookEndpoint.objects.create(
        **{field.attname: getattr(webhook, field.attname) for field in webhook._meta.concrete_fields}
        | {"id": IDS["webhook_id"]}
    )
    delivery = factories.delivery(WebhookEndpoint.objects.get(pk=IDS["webhook_id"]))
    WebhookDelivery.objects.filter(pk=delivery.pk).update(id=IDS["delivery_id"])
    factories.key(acme)
    ApiKey.objects.update(id=IDS["key_id"])
    factories.member(acme, "bob@example.com", member_id=IDS["member_id"])
    factories.invitation(acme, id=IDS["invitation_id"])


@pytest.fixture(autouse=True)
def _one_transaction() -> Iterator[None]:
    """Requests leave the test's connection open, as those of Django's own client do."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def unlimited_key(organization: Organization) -> dict[str, str]:
    text = factories.key(organization)
    ApiKey.objects.update(create_per_minute=10**6, read_per_minute=10**6)
    return {"Authorization": f"Bearer {text}"}


def session_of_owner(organization: Organization) -> dict[str, Any]:
    """What an owner sends who has logged in, and who is none of the objects above."""
    client, token = Client(), "c" * 32
    membership = Membership.objects.filter(organization=organization, role="owner").first()
    membership = membership or factories.member(organization, f"{organization.pk}@example.com", "owner")
    client.force_login(membership.user)
    cookies = {settings.SESSION_COOKIE_NAME: client.session.session_key, "csrftoken": token}
    return {"cookies": cookies, "headers": {"X-CSRFToken": token}}


def is_for_people(case: Case) -> bool:
    return bool(case.operation.definition.raw["security"] == [{"session": []}])


def credentials(case: Case, key: dict[str, str], organization: Organization) -> dict[str, Any]:
    """What the operation asks for: a key, or the session of an owner, whose rate is small."""
    if not is_for_people(case):
        return {"headers": key}
    for name in ("X-Organization", "X-Mode"):
        case.headers.pop(name, None)  # Keys are bound to theirs; a person names one of their own.
    rate_limits.limiter().storage.reset()
    return session_of_owner(organization)


@pytest.fixture
def own_key(acme: Organization, objects: None) -> dict[str, str]:
    return unlimited_key(acme)


@pytest.fixture
def strange_key(objects: None) -> dict[str, str]:
    return unlimited_key(factories.organization("Initech"))


@bounded
@schema.parametrize()
def test_what_happens_is_what_the_document_says(
    case: Case, own_key: dict[str, str], acme: Organization
) -> None:
    in_words = case.operation.definition.raw["operationId"] in RULES_IN_WORDS
    excluded = [positive_data_acceptance] if in_words else []
    excluded += OF_FORM_AND_AUTH if is_for_people(case) else []
    case.call_and_validate(**credentials(case, own_key, acme), excluded_checks=excluded)


@bounded
@schema.include(path_regex="{").parametrize()
def test_a_stranger_meets_nothing_of_anybody(case: Case, strange_key: dict[str, str]) -> None:
    initech = Organization.objects.get(name="Initech")
    excluded = OF_FORM_AND_AUTH if is_for_people(case) else []
    response = case.call_and_validate(**credentials(case, strange_key, initech), excluded_checks=excluded)
    assert response.status_code in REFUSED


@bounded
@schema.exclude(operation_id=sorted(PUBLIC)).parametrize()
def test_nobody_gets_in_without_a_key(case: Case) -> None:
    for header in ("Authorization", "X-API-Key"):
        case.headers.pop(header, None)
    response = case.call_and_validate()
    assert response.status_code in (401, 405, 406)
