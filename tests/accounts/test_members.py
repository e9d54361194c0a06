"""Members over the API: for owners in a session, and nobody else."""

from typing import Any

import pytest
from django.contrib.auth import get_user
from django.http import HttpResponse
from django.test import Client

from accounts.models import ApiKey, Invitation, Membership, Organization, User
from accounts.scopes import Role
from tests.accounts.conftest import Key, make_key

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]
UNKNOWN = {"member": "mem_" + "0" * 26, "invitation": "inv_" + "0" * 26}


@pytest.fixture
def owner(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def id_of(person: User, organization: Organization) -> str:
    return Membership.objects.get(user=person, organization=organization).member_id


def ask(client: Client, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
    return client.generic(
        method, f"/v1/{path}", data=body or "{}", content_type="application/json", headers=headers
    )


def everybodys() -> str:
    rows = [list(model.objects.order_by("pk").values()) for model in (Membership, Invitation)]
    return str(rows)


def test_an_owner_reads_all_members(owner: Client, alice: User, bob: User, charlie: User, acme: Organization):
    rows = owner.get("/v1/members").json()["data"]
    assert [(row["email"], row["role"]) for row in rows] == [
        ("alice@example.com", "owner"),
        ("bob@example.com", "member"),
    ]
    assert rows[1]["id"] == id_of(bob, acme)


def test_a_new_role_holds_at_once(owner: Client, bob: User, acme: Organization):
    his = Client()
    his.force_login(bob)
    assert his.get("/v1/members").status_code == 403
    changed = ask(owner, "PATCH", f"members/{id_of(bob, acme)}", '{"role": "owner"}')
    assert changed.json()["role"] == "owner"
    assert his.get("/v1/members").status_code == 200


def test_whoever_is_removed_is_logged_out_and_their_keys_stay_and_are_listed(
    owner: Client, bob: User, acme: Organization
):
    his, key = Client(), make_key(acme, livemode=True, created_by=bob)
    his.force_login(bob)
    answer = ask(owner, "DELETE", f"members/{id_of(bob, acme)}").json()
    assert [each["id"] for each in answer["api_keys"]] == [key.row.pk]
    assert not get_user(his).is_authenticated
    assert his.get("/v1/me", headers=key.headers).status_code == 200


@pytest.mark.parametrize(("method", "body"), [("PATCH", '{"role": "admin"}'), ("DELETE", None)])
def test_the_last_owner_stays(owner: Client, alice: User, acme: Organization, method: str, body: str | None):
    answer = ask(owner, method, f"members/{id_of(alice, acme)}", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert Membership.objects.get(user=alice).role == Role.OWNER


def endpoints(member: str, invitation: str) -> list[tuple[str, str, str]]:
    return [
        ("GET", "members", ""),
        ("PATCH", f"members/{member}", '{"role": "viewer"}'),
        ("DELETE", f"members/{member}", ""),
        ("GET", "invitations", ""),
        ("POST", "invitations", '{"email": "charlie@example.com"}'),
        ("DELETE", f"invitations/{invitation}", ""),
        ("POST", f"invitations/{invitation}/resend", ""),
    ]


@pytest.fixture
def existing(acme: Organization, alice: User, bob: User, owner: Client) -> list[tuple[str, str, str]]:
    invitation = ask(owner, "POST", "invitations", '{"email": "someone@example.com"}').json()["id"]
    return endpoints(id_of(bob, acme), invitation)


def test_keys_never_manage_members(existing: list[tuple[str, str, str]], acme_key: Key, acme: Organization):
    before = everybodys()
    for key in (acme_key, make_key(acme, livemode=True)):
        for method, path, body in existing:
            answer = ask(Client(), method, path, body, **key.headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied"), path
    assert everybodys() == before


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.ADMIN])
def test_no_other_role_does(existing: list[tuple[str, str, str]], bob: User, role: str):
    Membership.objects.filter(user=bob).update(role=role)
    client, before = Client(), everybodys()
    client.force_login(bob)
    for method, path, body in existing:
        assert ask(client, method, path, body).status_code == 403, path
    assert everybodys() == before


def test_nobody_does_without_a_session_or_without_its_token(
    existing: list[tuple[str, str, str]], alice: User
):
    stranger, forged, before = Client(), Client(enforce_csrf_checks=True), everybodys()
    forged.force_login(alice)
    for method, path, body in existing:
        assert ask(stranger, method, path, body).status_code == 401, path
        if method != "GET":
            assert ask(forged, method, path, body).status_code == 403, path
    assert everybodys() == before


def test_a_strangers_objects_and_those_that_never_were_are_refused_alike(
    existing: list[tuple[str, str, str]], charlie: User
):
    client, before = Client(), everybodys()
    client.force_login(charlie)
    never = endpoints(**UNKNOWN)
    for (method, theirs, body), (_, nobodys, _) in zip(existing, never, strict=True):
        if "/" in theirs:
            answers = [
                ask(client, method, path, body, **{"X-Request-Id": "same"}) for path in (theirs, nobodys)
            ]
            assert {answer.status_code for answer in answers} == {404}, theirs
            assert answers[0].content == answers[1].content
        elif method == "GET":
            assert "someone" not in client.get(f"/v1/{theirs}").content.decode()
    assert everybodys() == before


def test_an_id_of_nonsense_is_not_found(owner: Client):
    for nonsense in ("x", "a%00b", "ü" * 300):
        assert ask(owner, "DELETE", f"members/{nonsense}").status_code == 404
        assert ask(owner, "DELETE", f"invitations/{nonsense}").status_code == 404


def test_a_suspended_organization_manages_nothing(owner: Client, acme: Organization):
    from accounts import services

    services.suspend(organization=acme)
    assert owner.get("/v1/members").json()["code"] == "organization_suspended"


def test_keys_that_were_revoked_are_not_listed(owner: Client, bob: User, acme: Organization):
    make_key(acme, created_by=bob)
    ApiKey.objects.update(revoked_at="2026-01-01T00:00Z")
    assert ask(owner, "DELETE", f"members/{id_of(bob, acme)}").json()["api_keys"] == []
