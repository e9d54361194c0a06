"""Invitations: mailed, sent again, revoked, accepted with an account or without one."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth import get_user
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts import invitations
from accounts.models import Invitation, Membership, Organization, User
from accounts.scopes import Role
from tests.accounts.conftest import make_person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]
Post = Callable[..., HttpResponse]
PASSWORD = "correct horse battery staple"


@pytest.fixture
def owner(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def post(owner: Client) -> Post:
    """Posts to the API as alice."""

    def send(path: str = "", body: dict[str, str] | None = None, **headers: str) -> HttpResponse:
        address = f"/v1/invitations{path}"
        return owner.post(address, body or {}, content_type="application/json", headers=headers)

    return send


def last_link() -> str:
    found = re.search(r"http://testserver(/invitation/\S+)", str(mail.outbox[-1].body))
    assert found is not None
    return found[1]


def accepted(client: Client, link: str) -> bool:
    return client.post(link).status_code == 302


def logged_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_an_invitation_goes_out_as_text_and_html_and_says_by_whom_and_whereto(post: Post):
    made = post(body={"email": " Bob@Example.com", "role": "admin"})
    assert made.status_code == 201
    assert made.json()["email"] == "bob@example.com"
    [message] = mail.outbox
    assert message.to == ["bob@example.com"]
    assert message.subject == "You are invited to Acme"
    for text in (message.body, message.alternatives[0][0]):
        assert "invites you to Acme" in text
        assert "alice@example.com" in text
        assert last_link() in text


def test_somebody_with_an_account_accepts_and_is_in_both_organizations(
    post: Post, acme: Organization, globex: Organization
):
    person = make_person("bob@example.com", globex, Role.MEMBER)
    post(body={"email": "bob@example.com", "role": "admin"})
    client = logged_in(person)
    assert b"Join Acme" in client.get(last_link()).content
    assert accepted(client, last_link())
    assert client.get("/v1/me").json()["organization"]["id"] == acme.pk
    client.post("/people/choose", {"organization": globex.pk, "mode": "test"})
    assert client.get("/v1/me").json()["organization"]["id"] == globex.pk
    assert get_user(client) == person
    assert not accepted(client, last_link())


def test_somebody_without_an_account_makes_one_and_accepts(
    post: Post, settings: Settings, acme: Organization
):
    settings.SIGN_UP = "invitation"
    post(body={"email": "bob@example.com"})
    client = Client()
    page = client.get(last_link()).content.decode()
    sign_up = re.search(r'href="(/account/signup/[^"]+)"', page)
    assert sign_up is not None
    back = client.post(sign_up[1], {"email": "bob@example.com", "password1": PASSWORD}, follow=True)
    assert back.redirect_chain[-1][0] == last_link()
    assert accepted(client, last_link())
    assert Membership.objects.get(user__email="bob@example.com").organization == acme
    assert Organization.objects.count() == 1


def test_an_invitation_lets_nobody_sign_up_with_another_address(post: Post, settings: Settings):
    settings.SIGN_UP = "invitation"
    post(body={"email": "bob@example.com"})
    client = Client()
    client.get(last_link())
    client.post("/account/signup/", {"email": "charlie@example.com", "password1": PASSWORD})
    assert not User.objects.filter(email="charlie@example.com").exists()


def test_where_sign_up_is_closed_an_invitation_makes_no_account(post: Post):
    post(body={"email": "bob@example.com"})
    client = Client()
    assert b"Make an account" not in client.get(last_link()).content
    client.post("/account/signup/", {"email": "bob@example.com", "password1": PASSWORD})
    assert not User.objects.filter(email="bob@example.com").exists()


def test_the_link_serves_nobody_else(post: Post, charlie: User, acme: Organization):
    post(body={"email": "bob@example.com"})
    assert not accepted(logged_in(charlie), last_link())
    assert not accepted(Client(), last_link())
    assert not acme.memberships.filter(user=charlie).exists()


def test_a_link_works_until_it_expires_is_revoked_or_is_sent_again(post: Post, owner: Client):
    person = logged_in(make_person("bob@example.com"))
    made = post(body={"email": "bob@example.com"}).json()["id"]
    first = last_link()
    assert post(f"/{made}/resend").status_code == 200
    assert person.get(first).status_code == 404
    assert person.get(last_link()).status_code == 200
    with time_machine.travel(timezone.now() + invitations.VALID_FOR + timedelta(seconds=1)):
        assert logged_in(User.objects.get(email="bob@example.com")).get(last_link()).status_code == 404
    assert owner.delete(f"/v1/invitations/{made}").status_code == 204
    assert person.get(last_link()).status_code == 404


def test_an_address_is_invited_once_and_again_when_that_has_expired(post: Post, bob: User):
    assert post(body={"email": "someone@example.com"}).status_code == 201
    again = post(body={"email": "Someone@example.com"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert post(body={"email": "bob@example.com"}).json()["code"] == "conflict"
    Invitation.objects.update(expires_at=timezone.now())
    assert post(body={"email": "someone@example.com"}).status_code == 201


def test_an_organization_has_only_so_many_open(post: Post, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(invitations, "MAX_OPEN", 1)
    assert post(body={"email": "bob@example.com"}).status_code == 201
    assert post(body={"email": "charlie@example.com"}).json()["code"] == "quota_exceeded"


def test_the_same_request_twice_sends_one_mail(post: Post):
    answers = [post(body={"email": "bob@example.com"}, **{"Idempotency-Key": "one"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1]["Idempotent-Replayed"] == "true"
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("body", [{}, {"email": "bob"}, {"email": "bob@example.com", "role": "king"}])
def test_what_is_no_invitation_is_refused(post: Post, body: dict[str, str]):
    assert post(body=body).json()["code"] == "validation_error"
    assert mail.outbox == []


def test_a_mail_server_that_is_away_leaves_no_invitation_behind(post: Post, settings: Settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1  # Nobody listens there.
    answer = post(body={"email": "bob@example.com"})
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert not Invitation.objects.exists()
