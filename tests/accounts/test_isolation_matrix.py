"""Nobody reaches what isn't theirs: every address and method of the API, tried by everyone who shouldn't.

The endpoints are found in the URL configuration, so that a new one joins by itself. One whose address names
a new kind of object has to say in `KINDS` how to make one; one that isn't a tenant's has to be named in
`PUBLIC`. The test fails until it does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import serializers
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts import api_keys, services
from accounts.models import ApiKey, Organization
from accounts.tenancy import TenantView
from avatar_api.common.ids import new_id
from jobs.models import Asset, Job, WebhookDelivery, WebhookEndpoint
from tests import factories
from tests.accounts.conftest import Key, make_key

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Kind:
    """A kind of object that addresses name."""

    make: Callable[[Organization, bool], Any]
    unknown: Callable[[], str]


# By the name of the parameter in the address.
KINDS = {
    "job_id": Kind(
        lambda organization, livemode: factories.job(organization, livemode=livemode), lambda: new_id("job")
    ),
    "asset_id": Kind(
        lambda organization, livemode: factories.asset(organization, livemode=livemode), lambda: new_id("ast")
    ),
    "webhook_id": Kind(
        lambda organization, livemode: factories.webhook(organization, livemode=livemode),
        lambda: new_id("whk"),
    ),
    "delivery_id": Kind(
        lambda organization, livemode: factories.delivery(factories.webhook(organization, livemode=livemode)),
        lambda: new_id("msg"),
    ),
    "key_id": Kind(
        lambda organization, livemode: make_key(organization, livemode=livemode).row, api_keys.new_key_id
    ),
}

# What needs no key: the description of the API, and files for whoever holds a signed address.
PUBLIC = {"openapi", "file"}


@dataclass(frozen=True)
class Endpoint:
    """One method at one address."""

    method: str
    name: str
    parameters: tuple[str, ...]
    view: type[TenantView]

    @property
    def scope(self) -> str | None:
        return self.view.required_scope["GET" if self.method == "HEAD" else self.method]

    def ask(self, client: Client, ids: dict[str, str], headers: dict[str, str]) -> HttpResponse:
        body = {} if self.method in ("GET", "HEAD") else {"content_type": "application/json", "data": "{}"}
        headers = {"X-Request-Id": "the-same", **headers}
        return client.generic(self.method, reverse(self.name, kwargs=ids), headers=headers, **body)

    def __str__(self) -> str:
        return f"{self.method} {self.name}"


def api_patterns(resolver: URLResolver, prefix: str = "") -> Iterator[URLPattern]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from api_patterns(pattern, path)
        elif path.startswith("v1/"):
            yield pattern


def endpoints() -> list[Endpoint]:
    found = []
    for pattern in api_patterns(get_resolver()):
        view = getattr(pattern.callback, "view_class", None)
        if pattern.name in PUBLIC:
            continue
        assert issubclass(view, TenantView), f"{pattern.name} is neither a TenantView nor in PUBLIC"
        parameters = tuple(pattern.pattern.converters)
        methods = [method.upper() for method in view.http_method_names if hasattr(view, method)]
        methods += ["HEAD"] if "GET" in methods else []
        found += [Endpoint(method, pattern.name, parameters, view) for method in methods]
    return found


ENDPOINTS = endpoints()
OF_OBJECTS = [endpoint for endpoint in ENDPOINTS if endpoint.parameters]
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
every_endpoint_of_an_object = pytest.mark.parametrize("endpoint", OF_OBJECTS, ids=str)


def made(endpoint: Endpoint, organization: Organization, *, livemode: bool = False) -> dict[str, str]:
    """Ids of objects that exist, for the endpoint's address."""
    return {name: KINDS[name].make(organization, livemode).pk for name in endpoint.parameters}


def never_made(endpoint: Endpoint) -> dict[str, str]:
    return {name: KINDS[name].unknown() for name in endpoint.parameters}


def everything() -> str:
    """All rows that a request might have changed, but for the use of keys."""
    jobs = "".join(
        serializers.serialize("json", model.objects.order_by("pk"))
        for model in (Job, Asset, WebhookEndpoint, WebhookDelivery)
    )
    unused = [name.attname for name in ApiKey._meta.fields if not name.name.startswith("last_used")]
    return jobs + str(list(ApiKey.objects.order_by("pk").values(*unused)))


def refused(endpoint: Endpoint, response: HttpResponse, status: int, code: str) -> None:
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    if endpoint.method != "HEAD":
        assert response.json()["code"] == code


def test_the_matrix_has_every_endpoint_of_the_api():
    """By the endpoints of the first day, so that an enumeration which finds nothing is noticed."""
    assert {"GET me", "GET jobs", "HEAD jobs", "POST jobs", "GET job", "DELETE api-key"} <= set(
        map(str, ENDPOINTS)
    )


@every_endpoint
def test_every_method_says_which_scope_it_needs(endpoint: Endpoint):
    assert endpoint.scope is None or endpoint.scope in services.ALL_SCOPES


@every_endpoint
def test_without_a_key(api: Client, acme: Organization, endpoint: Endpoint):
    ids, before = made(endpoint, acme), everything()
    refused(endpoint, endpoint.ask(api, ids, {}), 401, "authentication_required")
    assert everything() == before


@every_endpoint
@pytest.mark.parametrize("fault", ["malformed", "never minted", "wrong secret", "in the query"])
def test_with_a_key_that_is_none(api: Client, acme: Organization, endpoint: Endpoint, fault: str):
    ids, key = made(endpoint, acme), make_key(acme)
    unsigned = f"{key.row.prefix}_{'0' * api_keys.RANDOM_LENGTH}"
    text = {
        "malformed": key.text[:-1],
        "never minted": api_keys.mint(livemode=False).key,
        "wrong secret": unsigned + api_keys.checksum(unsigned),
        "in the query": "",
    }[fault]
    before = everything()
    if fault == "in the query":
        address = reverse(endpoint.name, kwargs=ids)
        response = api.generic(endpoint.method, f"{address}?api_key={key.text}&access_token={key.text}")
        refused(endpoint, response, 401, "authentication_required")
    else:
        refused(endpoint, endpoint.ask(api, ids, {"X-API-Key": text}), 401, "invalid_api_key")
    assert everything() == before


@every_endpoint
@pytest.mark.parametrize("end", ["api_key_revoked", "api_key_expired"])
def test_with_a_key_that_no_longer_works(api: Client, acme: Organization, endpoint: Endpoint, end: str):
    ids, key = made(endpoint, acme), make_key(acme, expires_at=timezone.now() + timedelta(hours=1))
    if end == "api_key_revoked":
        services.revoke_key(api_key=key.row)
    before = everything()
    with time_machine.travel(timezone.now() + timedelta(hours=2), tick=False):
        refused(endpoint, endpoint.ask(api, ids, key.headers), 401, end)
    assert everything() == before


@every_endpoint
def test_with_a_key_without_the_scope(api: Client, acme: Organization, endpoint: Endpoint):
    if endpoint.scope is None:
        assert (
            endpoint.ask(api, made(endpoint, acme), make_key(acme, scopes=frozenset()).headers).status_code
            == 200
        )
        return
    ids, key = made(endpoint, acme), make_key(acme, scopes=services.ALL_SCOPES - {endpoint.scope})
    before = everything()
    refused(endpoint, endpoint.ask(api, ids, key.headers), 403, "permission_denied")
    assert everything() == before


@every_endpoint
def test_with_a_key_of_a_suspended_organization(api: Client, acme: Organization, endpoint: Endpoint):
    ids, key = made(endpoint, acme), make_key(acme)
    services.suspend(organization=acme)
    before = everything()
    refused(endpoint, endpoint.ask(api, ids, key.headers), 403, "organization_suspended")
    assert everything() == before


@pytest.fixture(params=["another organization", "the other mode", "the other mode, live"])
def stranger(request: pytest.FixtureRequest, acme: Organization, globex: Organization) -> tuple[Key, bool]:
    """A key, and the mode of Acme's objects, which are none of its business."""
    key, livemode = {
        "another organization": (make_key(globex), False),
        "the other mode": (make_key(acme), True),
        "the other mode, live": (make_key(acme, livemode=True), False),
    }[request.param]
    Client().get("/v1/me", headers=key.headers)  # writes the key's use of this minute
    return key, livemode


@every_endpoint_of_an_object
def test_a_strangers_object_and_one_that_never_was_are_told_apart_by_nothing(
    api: Client, acme: Organization, stranger: tuple[Key, bool], endpoint: Endpoint
):
    key, livemode = stranger
    existing = made(endpoint, acme, livemode=livemode)
    before = everything()
    answers, queries = [], []
    for ids in (existing, never_made(endpoint)):
        with CaptureQueriesContext(connection) as captured:
            answers.append(endpoint.ask(api, ids, key.headers))
        queries.append(len(captured))
    refused(endpoint, answers[0], 404, "not_found")
    assert answers[0].content == answers[1].content
    assert comparable_headers(answers[0]) == comparable_headers(answers[1])
    assert queries[0] == queries[1]
    assert everything() == before


def comparable_headers(response: HttpResponse) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name != "RateLimit"}


@every_endpoint_of_an_object
@pytest.mark.parametrize("nonsense", ["x", "nul\x00", "job_", "%2e%2e", "ü" * 300])
def test_a_malformed_id_is_not_found(api: Client, acme: Organization, endpoint: Endpoint, nonsense: str):
    ids = dict.fromkeys(endpoint.parameters, nonsense)
    refused(endpoint, endpoint.ask(api, ids, make_key(acme).headers), 404, "not_found")


@pytest.mark.parametrize(
    "endpoint", [e for e in ENDPOINTS if e.method == "GET" and not e.parameters], ids=str
)
def test_no_collection_shows_a_strangers_objects(
    api: Client, acme: Organization, stranger: tuple[Key, bool], endpoint: Endpoint
):
    key, livemode = stranger
    existing = [kind.make(acme, livemode).pk for kind in KINDS.values()]
    response = endpoint.ask(api, {}, key.headers)
    assert response.status_code == 200
    assert not any(pk in response.content.decode() for pk in existing)
