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
from django.core import serializers
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts import api_keys, services
from accounts.models import ApiKey, Organization
from accounts.scopes import with_included
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

# What needs no key: the description of the API, and files and streams for whoever holds a signed address.
PUBLIC = {"openapi", "api", "trailing-slash", "file", "stream", "stream-init", "stream-segment"}


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

    def ask(
        self, client: Client, ids: dict[str, str], headers: dict[str, str], query: str = ""
    ) -> HttpResponse:
        body = {} if self.method in ("GET", "HEAD") else {"content_type": "application/json", "data": "{}"}
        headers = {"X-Request-Id": "the-same", **headers}
        address = reverse(self.name, kwargs=ids) + query
        return client.generic(self.method, address, headers=headers, **body)

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
        if view.for_people:
            continue  # Keys are refused whatever they name: test_members.py.
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


def test_every_method_says_which_scope_it_needs():
    assert {endpoint.scope for endpoint in ENDPOINTS} <= services.ALL_SCOPES | {None}


@dataclass(frozen=True)
class Intruder:
    """Somebody who may not do what any endpoint does, and what the answer is."""

    headers: dict[str, str]
    status: int
    code: str
    query: str = ""


def intruders(organization: Organization, scope: str | None) -> dict[str, Intruder]:
    key, past = make_key(organization), timezone.now() - timedelta(seconds=1)
    revoked, expired = make_key(organization), make_key(organization, expires_at=past)
    services.revoke_key(api_key=revoked.row)
    elsewhere = make_key(organization, allowed_ips=["203.0.113.0/24"])
    unsigned = f"{key.row.prefix}_{'0' * api_keys.RANDOM_LENGTH}"
    never_minted = api_keys.mint(livemode=False).key
    asking, invalid = "authentication_required", "invalid_api_key"
    found = {
        "no key": Intruder({}, 401, asking),
        "a key in the query": Intruder({}, 401, asking, f"?api_key={key.text}&access_token={key.text}"),
        "a malformed key": Intruder({"X-API-Key": key.text[:-1]}, 401, invalid),
        "a key never minted": Intruder({"X-API-Key": never_minted}, 401, invalid),
        "a wrong secret": Intruder({"X-API-Key": unsigned + api_keys.checksum(unsigned)}, 401, invalid),
        "a revoked key": Intruder(revoked.headers, 401, "api_key_revoked"),
        "an expired key": Intruder(expired.headers, 401, "api_key_expired"),
        "a key from elsewhere": Intruder(elsewhere.headers, 403, "ip_not_allowed"),
    }
    if scope is not None:
        others = frozenset(other for other in services.ALL_SCOPES if scope not in with_included([other]))
        without = make_key(organization, scopes=others)
        found["a key without the scope"] = Intruder(without.headers, 403, "permission_denied")
    return found


@every_endpoint
def test_nobody_gets_in_who_may_not(
    api: Client, acme: Organization, endpoint: Endpoint, subtests: pytest.Subtests
):
    ids, allowed = made(endpoint, acme), make_key(acme)
    cases = intruders(acme, endpoint.scope)
    cases["a suspended organization"] = Intruder(allowed.headers, 403, "organization_suspended")
    before = everything()
    for name, intruder in cases.items():
        if name == "a suspended organization":
            services.suspend(organization=acme)
        with subtests.test(name):
            response = endpoint.ask(api, ids, intruder.headers, intruder.query)
            refused(endpoint, response, intruder.status, intruder.code)
            assert everything() == before


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.scope is None], ids=str)
def test_a_key_without_any_scope_is_enough_where_none_is_needed(
    api: Client, acme: Organization, endpoint: Endpoint
):
    response = endpoint.ask(api, made(endpoint, acme), make_key(acme, scopes=frozenset()).headers)
    assert response.status_code == 200


def strangers(acme: Organization, globex: Organization) -> dict[str, tuple[Key, bool]]:
    """Keys, and the mode of those objects of Acme that are none of their business."""
    found = {
        "another organization": (make_key(globex), False),
        "a test key on live objects": (make_key(acme), True),
        "a live key on test objects": (make_key(acme, livemode=True), False),
    }
    for key, _ in found.values():
        Client().get("/v1/me", headers=key.headers)  # writes the key's use of this minute
    return found


@every_endpoint_of_an_object
def test_a_strangers_object_and_one_that_never_was_are_told_apart_by_nothing(
    api: Client, acme: Organization, globex: Organization, endpoint: Endpoint, subtests: pytest.Subtests
):
    for name, (key, livemode) in strangers(acme, globex).items():
        theirs, nobodys = made(endpoint, acme, livemode=livemode), never_made(endpoint)
        before = everything()
        with subtests.test(name):
            told_apart_by_nothing(endpoint, api, key, theirs, nobodys)
            assert everything() == before


@pytest.mark.parametrize("endpoint", [e for e in OF_OBJECTS if len(e.parameters) > 1], ids=str)
def test_a_strangers_object_is_not_reached_by_way_of_ones_own(
    api: Client, acme: Organization, globex: Organization, endpoint: Endpoint
):
    """Its address names an object of the stranger's below one that belongs to the key."""
    key = make_key(globex)
    Client().get("/v1/me", headers=key.headers)
    own, theirs, nobodys = made(endpoint, globex), made(endpoint, acme), never_made(endpoint)
    last, before = endpoint.parameters[-1], everything()
    told_apart_by_nothing(endpoint, api, key, own | {last: theirs[last]}, own | {last: nobodys[last]})
    assert everything() == before


def told_apart_by_nothing(
    endpoint: Endpoint, api: Client, key: Key, theirs: dict[str, str], nobodys: dict[str, str]
) -> None:
    answers, queries = [], []
    for ids in (theirs, nobodys):
        with CaptureQueriesContext(connection) as captured:
            answers.append(endpoint.ask(api, ids, key.headers))
        queries.append(len(captured))
    refused(endpoint, answers[0], 404, "not_found")
    assert answers[0].content == answers[1].content
    assert comparable_headers(answers[0]) == comparable_headers(answers[1])
    assert queries[0] == queries[1]


def comparable_headers(response: HttpResponse) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name != "RateLimit"}


@every_endpoint_of_an_object
def test_a_malformed_id_is_not_found(
    api: Client, acme: Organization, endpoint: Endpoint, subtests: pytest.Subtests
):
    key = make_key(acme)
    for nonsense in ("x", "nul\x00", "job_", "%2e%2e", "ü" * 300):
        with subtests.test(nonsense):
            ids = dict.fromkeys(endpoint.parameters, nonsense)
            refused(endpoint, endpoint.ask(api, ids, key.headers), 404, "not_found")


@pytest.mark.parametrize(
    "endpoint", [e for e in ENDPOINTS if e.method == "GET" and not e.parameters], ids=str
)
def test_no_collection_shows_a_strangers_objects(
    api: Client, acme: Organization, globex: Organization, endpoint: Endpoint, subtests: pytest.Subtests
):
    for name, (key, livemode) in strangers(acme, globex).items():
        existing = [kind.make(acme, livemode).pk for kind in KINDS.values()]
        with subtests.test(name):
            response = endpoint.ask(api, {}, key.headers)
            assert response.status_code == 200
            assert not any(pk in response.content.decode() for pk in existing)
