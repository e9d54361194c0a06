"""Who may make an account is a setting, and what they get is an organization of their own."""

import re

import pytest
from django.contrib.auth import get_user
from django.core import mail
from django.test import Client
from pytest_django import Settings

from accounts.models import Membership, Organization, User
from accounts.scopes import Role

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]
SIGN_UP = "/account/signup/"
FORM = {
    "email": "Alice@example.com",
    "password1": "correct horse battery staple",
    "organization": "Acme",
}


def verify(client: Client) -> None:
    """Follow the link in the mail, and press its button."""
    link = re.search(r"http://testserver(/account/confirm-email/\S+)", str(mail.outbox[-1].body))
    assert link is not None
    client.post(link[1])


@pytest.mark.parametrize("setting", ["closed", "invitation"])
def test_a_stranger_makes_no_account_where_sign_up_is_not_open(settings: Settings, setting: str):
    settings.SIGN_UP = setting
    client = Client()
    assert b"Sign up" not in client.get("/account/login/").content
    client.post(SIGN_UP, FORM)
    assert not User.objects.exists()


def test_whoever_signs_up_owns_an_organization_once_the_address_is_verified(settings: Settings):
    settings.SIGN_UP, settings.SIGN_UP_PLAN = "open", "pro"
    client = Client()
    assert b"Sign up" in client.get("/account/login/").content
    client.post(SIGN_UP, FORM)
    assert not get_user(client).is_authenticated
    verify(client)
    client.post("/account/login/", {"login": FORM["email"], "password": FORM["password1"]})
    assert get_user(client) == User.objects.get(email="alice@example.com")
    membership = Membership.objects.get()
    assert (membership.organization.name, membership.organization.plan_id) == ("Acme", "pro")
    assert membership.role == Role.OWNER


def test_with_approval_an_operator_lets_the_person_in(settings: Settings):
    settings.SIGN_UP = "approval"
    client = Client()
    client.post(SIGN_UP, FORM)
    log_in = {"login": FORM["email"], "password": FORM["password1"]}
    User.objects.get().vouch_for_email()
    client.post("/account/login/", log_in)
    assert not get_user(client).is_authenticated
    User.objects.update(is_active=True)
    client.post("/account/login/", log_in)
    assert get_user(client).is_authenticated


def test_the_name_of_an_organization_is_not_given_twice(settings: Settings, acme: Organization):
    settings.SIGN_UP = "open"
    page = Client().post(SIGN_UP, FORM).content.decode()
    assert "has this name already" in page
    assert not User.objects.exists()


def test_sign_up_asks_what_the_captcha_of_the_setting_asks(settings: Settings):
    settings.SIGN_UP = "open"
    settings.SIGN_UP_CAPTCHA_FIELD = "django.forms.fields.IntegerField"
    Client().post(SIGN_UP, FORM)
    assert not User.objects.exists()
    Client().post(SIGN_UP, FORM | {"captcha": "7"})
    assert User.objects.exists()
