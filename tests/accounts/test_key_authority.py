"""A key made, rotated or revoked by a key never goes beyond it, whatever the request says."""

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts import services
from accounts.models import ApiKey, Organization
from tests.accounts.conftest import Key, make_key

pytestmark = pytest.mark.django_db


def post(api: Client, key: Key, path: str = "/v1/api-keys", **body: Any) -> HttpResponse:
    return api.post(path, body, content_type="application/json", headers=key.headers)


@pytest.fixture
def bound(acme: Organization) -> Key:
    """A key of one network and one day, with a rate of its own."""
    key = make_key(acme, expires_at=timezone.now() + timedelta(days=1), allowed_ips=["127.0.0.0/8"])
    ApiKey.objects.filter(pk=key.row.pk).update(create_per_minute=7)
    key.row.refresh_from_db()
    return key


def test_what_is_left_out_is_as_its_maker_has_it(api: Client, bound: Key):
    made = ApiKey.objects.get(pk=post(api, bound, name="child").json()["id"])
    assert (made.allowed_ips, made.expires_at) == (["127.0.0.0/8"], bound.row.expires_at)
    assert made.create_per_minute == 7


def test_narrower_addresses_and_an_earlier_end_are_allowed(api: Client, bound: Key):
    soon = timezone.now() + timedelta(hours=1)
    made = post(api, bound, name="child", allowed_ips=["127.0.0.1"], expires_at=soon.isoformat())
    assert made.status_code == 201


@pytest.mark.parametrize(
    "beyond",
    [
        {"allowed_ips": ["0.0.0.0/0"]},
        {"allowed_ips": ["127.0.0.1", "::1"]},
        {"expires_at": "2999-01-01T00:00:00Z"},
    ],
    ids=["any address", "another address", "a later end"],
)
def test_what_goes_beyond_is_refused(api: Client, bound: Key, beyond: dict[str, Any]):
    refused = post(api, bound, name="child", **beyond)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_who_may_not_rotate_a_key_may_not_revoke_it(
    api: Client, acme: Organization, bound: Key, acme_key: Key, verb: str
):
    path = f"/v1/api-keys/{acme_key.row.pk}"
    if verb == "rotate":
        refused = post(api, bound, f"{path}/rotate")
    else:
        refused = api.delete(path, headers=bound.headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    acme_key.row.refresh_from_db()
    assert acme_key.row.state() == ApiKey.State.ACTIVE


def test_a_second_rotation_within_the_overlap_gives_a_key_that_outlives_it(acme: Organization):
    old = make_key(acme).row
    services.rotate_key(api_key=old, overlap_seconds=60)
    second, _ = services.rotate_key(api_key=old, overlap_seconds=3600)
    old.refresh_from_db()
    assert second.expires_at is None
    assert old.expires_at is not None
    assert old.expires_at <= timezone.now() + timedelta(seconds=60)


def test_rotation_keeps_the_end_that_the_key_had(acme: Organization):
    end = timezone.now() + timedelta(days=30)
    old = make_key(acme, expires_at=end).row
    services.rotate_key(api_key=old, overlap_seconds=60)
    second, _ = services.rotate_key(api_key=old, overlap_seconds=60)
    assert second.expires_at == end


def test_an_organization_has_so_many_keys_and_no_more(api: Client, acme: Organization, acme_key: Key):
    plan = acme.test_plan
    plan.active_keys = 2
    plan.save()
    assert post(api, acme_key, name="second").status_code == 201
    refused = post(api, acme_key, name="third")
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    services.revoke_key(api_key=ApiKey.objects.get(name="second"))
    assert post(api, acme_key, name="third").status_code == 201


def test_a_key_can_be_rotated_when_there_is_room_for_no_other(acme: Organization, acme_key: Key):
    acme.test_plan.active_keys = 1
    acme.test_plan.save()
    new, _ = services.rotate_key(api_key=acme_key.row, overlap_seconds=0)
    assert new.state() == ApiKey.State.ACTIVE
