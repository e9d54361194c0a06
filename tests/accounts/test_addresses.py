"""Where a request came from, and keys that work from some places only."""

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings

from accounts.client_address import client_address
from accounts.models import Organization
from tests.accounts.conftest import make_key

FORWARDED = "6.6.6.6, 203.0.113.7, 10.0.0.2"


def address(settings: Settings, hops: int, forwarded: str | None, remote: str = "10.0.0.1") -> str | None:
    settings.TRUSTED_PROXY_HOPS = hops
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    found = client_address(RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote))
    return str(found) if found else None


@pytest.mark.parametrize(
    ("hops", "forwarded", "expected"),
    [
        (0, FORWARDED, "10.0.0.1"),
        (1, FORWARDED, "10.0.0.2"),
        (2, FORWARDED, "203.0.113.7"),
        (3, FORWARDED, "6.6.6.6"),
        (4, FORWARDED, None),
        (1, None, None),
        (1, "", None),
        (1, "localhost", None),
        (1, "203.0.113.7:4711", "203.0.113.7"),
        (1, "[2001:db8::7]:4711", "2001:db8::7"),
        (1, "[2001:db8::7]", "2001:db8::7"),
        (1, "203.0.113.7:port", None),
        (1, " 2001:db8::1 ", "2001:db8::1"),
        (1, "::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_only_as_many_proxies_are_believed_as_are_ours(
    settings: Settings, hops: int, forwarded: str | None, expected: str | None
):
    assert address(settings, hops, forwarded) == expected


def test_a_unix_socket_has_no_address(settings: Settings):
    assert address(settings, 0, None, remote="") is None


@pytest.mark.django_db
@pytest.mark.urls("tests.accounts.views")
@pytest.mark.parametrize(
    ("allowed", "client", "status"),
    [
        ([], "198.51.100.9", 200),
        (["203.0.113.0/24"], "203.0.113.255", 200),
        (["203.0.113.0/24"], "203.0.114.0", 403),
        (["203.0.113.7/32"], "203.0.113.7", 200),
        (["203.0.113.0/24"], "::ffff:203.0.113.7", 200),
        (["2001:db8::/32"], "2001:db8::1", 200),
        (["2001:db8::/32"], "203.0.113.7", 403),
        (["203.0.113.0/24"], "not an address", 403),
    ],
)
def test_a_key_works_from_its_networks_only(
    api: Client, acme: Organization, settings: Settings, allowed: list[str], client: str, status: int
):
    settings.TRUSTED_PROXY_HOPS = 1
    key = make_key(acme, allowed_ips=allowed)
    response = api.get("/thing", headers={**key.headers, "X-Forwarded-For": f"203.0.113.7, {client}"})
    assert response.status_code == status
    if status == 403:
        assert response.json()["code"] == "ip_not_allowed"


@pytest.mark.django_db
@pytest.mark.urls("tests.accounts.views")
def test_a_stolen_key_used_from_elsewhere_leaves_no_trace_and_takes_no_share(api: Client, acme: Organization):
    key = make_key(acme, allowed_ips=["203.0.113.0/24"])
    for _ in range(3):
        assert api.get("/thing", headers=key.headers, REMOTE_ADDR="198.51.100.9").status_code == 403
    key.row.refresh_from_db()
    assert key.row.last_used_at is None
    allowed = api.get("/thing", headers=key.headers, REMOTE_ADDR="203.0.113.7")
    assert allowed["RateLimit"].startswith(f'"read";r={acme.test_plan.read_per_minute - 1};')
