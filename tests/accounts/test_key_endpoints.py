"""`/v1/api-keys`: list, mint, revoke, rotate."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, Organization
from tests.accounts.conftest import Key, make_key

pytestmark = pytest.mark.django_db


def post(
    api: Client, key: Key, path: str = "/v1/api-keys", body: dict[str, Any] | None = None
) -> HttpResponse:
    return api.post(path, body or {}, content_type="application/json", headers=key.headers)


def works(api: Client, key_text: str) -> bool:
    return api.get("/v1/api-keys", headers={"Authorization": f"Bearer {key_text}"}).status_code == 200


def test_minting_shows_the_key_once(api: Client, acme_key: Key):
    response = post(api, acme_key, body={"name": "laptop"})
    assert response.status_code == 201
    minted = response.json()
    assert works(api, minted["key"])
    listed = api.get("/v1/api-keys", headers=acme_key.headers)
    assert minted["key"] not in listed.content.decode()
    assert minted["key"][-49:] not in listed.content.decode()


def test_a_minted_key_looks_as_documented(api: Client, acme_key: Key):
    minted = post(api, acme_key, body={"name": "laptop", "scopes": ["jobs:read"]}).json()
    assert {key: minted[key] for key in ("object", "name", "mode", "scopes", "allowed_ips")} == {
        "object": "api_key",
        "name": "laptop",
        "mode": "test",
        "scopes": ["jobs:read"],
        "allowed_ips": [],
    }
    assert minted["key"].startswith(f"av_test_{minted['id']}_")
    assert minted["expires_at"] is minted["revoked_at"] is minted["last_used_at"] is None


def test_a_key_mints_keys_of_its_own_mode(api: Client, acme: Organization):
    minted = post(api, make_key(acme, livemode=True), body={"name": "server"}).json()
    assert minted["mode"] == "live"


def test_a_new_key_has_its_makers_scopes_unless_told_otherwise(api: Client, acme: Organization):
    maker = make_key(acme, scopes=frozenset({"keys:write", "jobs:read"}))
    assert post(api, maker, body={"name": "same"}).json()["scopes"] == ["jobs:read", "keys:write"]


def test_a_key_never_carries_scopes_that_its_maker_lacks(api: Client, acme: Organization):
    maker = make_key(acme, scopes=frozenset({"keys:write", "jobs:read"}))
    response = post(api, maker, body={"name": "more", "scopes": ["jobs:read", "jobs:write"]})
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert ApiKey.objects.count() == 1


def test_rotation_does_not_hand_out_scopes_that_the_rotator_lacks(api: Client, acme: Organization):
    maker = make_key(acme, scopes=frozenset({"keys:write"}))
    victim = make_key(acme, scopes=frozenset({"jobs:write"}))
    assert post(api, maker, f"/v1/api-keys/{victim.row.pk}/rotate").status_code == 403
    assert works(api, make_key(acme).text)
    victim.row.refresh_from_db()
    assert victim.row.expires_at is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "nul \x00"}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["jobs:everything"]}, "scopes.0"),
        ({"name": "x", "scopes": "jobs:read"}, "scopes"),
        ({"name": "x", "scopes": [["jobs:read"]]}, "scopes.0"),
        ({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "x", "expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ({"name": "x", "allowed_ips": ["203.0.113.7/24"]}, "allowed_ips.0"),
        ({"name": "x", "allowed_ips": ["localhost"]}, "allowed_ips.0"),
        ({"name": "x", "allowed_ips": [7]}, "allowed_ips.0"),
        ({"name": "x", "secret": "mine"}, "secret"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(api: Client, acme_key: Key, body: dict[str, Any], field: str):
    response = post(api, acme_key, body=body)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert ApiKey.objects.count() == 1


def test_a_revoked_key_stops_at_once_and_stays_listed(api: Client, acme_key: Key, acme: Organization):
    key = make_key(acme)
    assert api.delete(f"/v1/api-keys/{key.row.pk}", headers=acme_key.headers).status_code == 204
    refused = api.get("/v1/api-keys", headers=key.headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "api_key_revoked")
    listed = api.get("/v1/api-keys", headers=acme_key.headers).json()["data"]
    assert next(row for row in listed if row["id"] == key.row.pk)["revoked_at"] is not None


def test_revoking_twice_keeps_the_first_time(api: Client, acme_key: Key, acme: Organization):
    key = make_key(acme)
    for _ in range(2):
        assert api.delete(f"/v1/api-keys/{key.row.pk}", headers=acme_key.headers).status_code == 204
        first = ApiKey.objects.get(pk=key.row.pk).revoked_at
    assert ApiKey.objects.get(pk=key.row.pk).revoked_at == first


def test_after_rotation_both_keys_work_until_the_overlap_ends(api: Client, acme_key: Key, acme: Organization):
    old = make_key(
        acme, name="server", scopes=frozenset({"jobs:read", "keys:write"}), allowed_ips=["127.0.0.1/32"]
    )
    rotated = post(api, acme_key, f"/v1/api-keys/{old.row.pk}/rotate", {"overlap_seconds": 600})
    assert rotated.status_code == 201
    new = rotated.json()
    assert (new["name"], new["scopes"], new["allowed_ips"]) == (
        "server",
        ["jobs:read", "keys:write"],
        ["127.0.0.1/32"],
    )
    assert new["expires_at"] is None
    with time_machine.travel(timezone.now() + timedelta(seconds=590), tick=False):
        assert works(api, old.text)
        assert works(api, new["key"])
    with time_machine.travel(timezone.now() + timedelta(seconds=610), tick=False):
        assert api.get("/v1/api-keys", headers=old.headers).json()["code"] == "api_key_expired"
        assert works(api, new["key"])


def test_rotation_without_overlap_ends_the_old_key_at_once(api: Client, acme_key: Key, acme: Organization):
    old = make_key(acme)
    new = post(api, acme_key, f"/v1/api-keys/{old.row.pk}/rotate").json()
    assert not works(api, old.text)
    assert works(api, new["key"])


def test_rotation_never_prolongs_a_key(api: Client, acme_key: Key, acme: Organization):
    end = timezone.now() + timedelta(minutes=5)
    old = make_key(acme, expires_at=end)
    new = post(api, acme_key, f"/v1/api-keys/{old.row.pk}/rotate", {"overlap_seconds": 86_400}).json()
    assert ApiKey.objects.get(pk=old.row.pk).expires_at == end
    assert ApiKey.objects.get(pk=new["id"]).expires_at == end


def test_rotation_keeps_the_limits_that_an_operator_set(api: Client, acme_key: Key, acme: Organization):
    old = make_key(acme)
    ApiKey.objects.filter(pk=old.row.pk).update(create_per_minute=3)
    new = post(api, acme_key, f"/v1/api-keys/{old.row.pk}/rotate").json()
    assert ApiKey.objects.get(pk=new["id"]).create_per_minute == 3


@pytest.mark.parametrize("end", ["revoked_at", "expires_at"])
def test_a_key_that_no_longer_works_is_not_rotated(api: Client, acme_key: Key, acme: Organization, end: str):
    old = make_key(acme)
    ApiKey.objects.filter(pk=old.row.pk).update(**{end: timezone.now()})
    response = post(api, acme_key, f"/v1/api-keys/{old.row.pk}/rotate")
    assert (response.status_code, response.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("overlap", [-1, 604_801, "60", 1.5, True, None])
def test_an_odd_overlap_is_refused(api: Client, acme_key: Key, overlap: Any):
    response = post(api, acme_key, f"/v1/api-keys/{acme_key.row.pk}/rotate", {"overlap_seconds": overlap})
    assert response.status_code == 422


def test_the_list_is_paged_newest_first(api: Client, acme: Organization, acme_key: Key):
    now = timezone.now()
    for minute in range(1, 4):
        with time_machine.travel(now + timedelta(minutes=minute), tick=False):
            make_key(acme, name=f"key {minute}")
    first = api.get("/v1/api-keys?limit=2", headers=acme_key.headers).json()
    assert [key["name"] for key in first["data"]] == ["key 3", "key 2"]
    second = api.get(f"/v1/api-keys?limit=2&cursor={first['next_cursor']}", headers=acme_key.headers).json()
    assert [key["name"] for key in second["data"]] == ["key 1", "test"]
    assert second["next_cursor"] is None


def test_a_test_key_sees_no_live_keys(api: Client, acme: Organization, acme_key: Key):
    live = make_key(acme, livemode=True)
    assert live.row.pk not in {
        key["id"] for key in api.get("/v1/api-keys", headers=acme_key.headers).json()["data"]
    }
    assert api.delete(f"/v1/api-keys/{live.row.pk}", headers=acme_key.headers).status_code == 404
