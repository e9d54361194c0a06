"""The page of the members: an owner manages them, everybody else may leave."""

import re

import pytest
from django.contrib.auth import get_user
from django.core import mail
from django.test import Client

from accounts.models import Invitation, Membership, Organization, User
from accounts.scopes import Role
from tests import factories
from tests.accounts.conftest import make_key

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]


@pytest.fixture
def acme(db: None) -> Organization:
    return factories.organization("Acme")


@pytest.fixture
def alice(acme: Organization) -> User:
    return factories.member(acme, "alice@example.com", Role.OWNER).user


@pytest.fixture
def bob(acme: Organization) -> Membership:
    return factories.member(acme, "bob@example.com")


@pytest.fixture
def owner(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def act(client: Client, verb: str, **form: str) -> str:
    """What the page says after a form was sent."""
    page = client.post(f"/console/members/{verb}", form, follow=True).content.decode()
    found = re.search(r'role="status">(.*?)</p>', page)
    return found[1] if found else ""


def test_an_owner_invites_sends_again_and_revokes(owner: Client):
    assert (
        act(owner, "invite", email="bob@example.com", role="admin")
        == "bob@example.com was sent an invitation."
    )
    invitation = Invitation.objects.get()
    page = owner.get("/console/members")
    assert b"Open invitations" in page.content
    assert "script-src 'self';" in page["Content-Security-Policy"]
    assert "new link" in act(owner, "resend", id=invitation.pk)
    assert len(mail.outbox) == 2
    assert "revoked" in act(owner, "revoke", id=invitation.pk)
    assert not Invitation.objects.exists()


def test_what_goes_wrong_is_said_on_the_page(owner: Client, alice: User):
    assert "Give an e-mail address" in act(owner, "invite", email="bob", role="member")
    own = Membership.objects.get(user=alice)
    assert "needs an owner" in act(owner, "role", id=own.member_id, role="member")
    owner.post("/console/members/leave")
    assert Membership.objects.get().role == Role.OWNER


def test_an_owner_changes_roles_and_removes(owner: Client, bob: Membership, acme: Organization):
    assert "is admin now" in act(owner, "role", id=bob.member_id, role="admin")
    key, his = make_key(acme, created_by=bob.user, name="Bob's key"), Client()
    his.force_login(bob.user)
    assert key.row.prefix in act(owner, "remove", id=bob.member_id)
    assert not get_user(his).is_authenticated


def test_a_member_sees_nobody_and_leaves(client: Client, bob: Membership, alice: User):
    client.force_login(bob.user)
    page = client.get("/console/members").content.decode()
    assert "alice@example.com" not in page
    assert "Invite somebody" not in page
    assert client.post("/console/members/leave")["Location"] == "/"
    assert not bob.user.memberships.exists()
    assert get_user(client).is_authenticated


@pytest.mark.parametrize("verb", ["invite", "resend", "revoke", "role", "remove"])
def test_only_owners_manage(client: Client, bob: Membership, alice: User, verb: str):
    Membership.objects.filter(pk=bob.pk).update(role=Role.ADMIN)
    client.force_login(bob.user)
    own = Membership.objects.get(user=alice)
    form = {"id": own.member_id, "role": "owner", "email": "someone@example.com"}
    assert client.post(f"/console/members/{verb}", form).status_code == 403
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("verb", ["resend", "revoke", "role", "remove"])
def test_nothing_of_a_strangers_is_reached(owner: Client, verb: str):
    globex = factories.organization("Globex")
    charlie = factories.member(globex, "charlie@example.com", Role.OWNER)
    invitation = factories.invitation(globex)
    for one in (charlie.member_id, invitation.pk, "nonsense", "\0"):
        assert owner.post(f"/console/members/{verb}", {"id": one, "role": "viewer"}).status_code in (400, 404)
    assert Membership.objects.get(pk=charlie.pk).role == Role.OWNER
    assert Invitation.objects.get().pk == invitation.pk


def test_who_is_not_logged_in_is_led_to_log_in(client: Client, acme: Organization):
    for answer in (client.get("/console/members"), client.post("/console/members/leave")):
        assert answer["Location"].startswith("/account/login/?next=")


def test_a_person_in_several_organizations_switches_on_the_page(owner: Client, alice: User):
    globex = factories.organization("Globex")
    Membership.objects.create(organization=globex, user=alice, role=Role.VIEWER)
    form = {"organization": globex.pk, "mode": "test", "next": "/console/members"}
    assert b"Leave Globex" in owner.post("/people/choose", form, follow=True).content
