"""Log-in: one door, throttled, with a second factor for those who have set one up."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from allauth.usersessions.models import UserSession
from django.contrib.auth import get_user
from django.contrib.auth.hashers import identify_hasher, make_password
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts import door
from accounts.models import Organization, User
from avatar_api.settings import base
from tests.accounts.conftest import make_person

pytestmark = pytest.mark.django_db

PASSWORD, NEW = "correct horse battery staple", "a new horse and staple"
LOG_IN, CODE = "/account/login/", "/account/2fa/authenticate/"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def staff(alice: User) -> User:
    User.objects.update(is_staff=True)
    alice.refresh_from_db()
    return alice


def log_in(
    client: Client, email: str = "alice@example.com", password: str = PASSWORD, **headers: Any
) -> HttpResponse:
    address = {"REMOTE_ADDR": headers.pop("address", "203.0.113.7")}
    return client.post(LOG_IN, {"login": email, "password": password}, **address, headers=headers)


def let_in(email: str = "alice@example.com", password: str = PASSWORD, **options: Any) -> bool:
    client = Client()
    log_in(client, email, password, **options)
    return get_user(client).is_authenticated


def confirm(client: Client) -> None:
    """Enter the password once more, as is needed before credentials change."""
    client.post("/account/reauthenticate/", {"password": PASSWORD})


def code(moment: Any = None) -> str:
    return format_hotp_value(hotp_value(SECRET, int((moment or timezone.now()).timestamp()) // 30))


def test_the_right_password_lets_in_and_a_wrong_one_does_not(alice: User):
    assert let_in()
    assert not let_in(password="wrong")
    assert not let_in("charlie@example.com")


def test_the_address_may_be_written_in_any_case(alice: User):
    assert let_in(" Alice@Example.COM ")


@pytest.mark.parametrize("path", ["/people/log-in?next=/docs", "/admin/?x"])
def test_every_way_in_leads_to_the_one_door(path: str):
    response = Client().get(path, follow=True)
    assert response.redirect_chain[-1][0].startswith(LOG_IN + "?next=/")
    assert b"Log in with a passkey" in response.content
    assert "'unsafe-inline'" not in response["Content-Security-Policy"]


def test_who_is_not_staff_does_not_enter_the_admin(alice: User):
    client = Client()
    log_in(client)
    assert client.get("/admin/", follow=True).status_code == 403


def test_a_session_is_ended_by_log_out(alice: User):
    client = Client()
    log_in(client)
    assert client.get("/v1/me", headers={"Accept": "text/html"})["Content-Type"].startswith("text/html")
    client.post("/account/logout/")
    assert not get_user(client).is_authenticated


def test_after_too_many_attempts_even_the_right_password_waits(alice: User):
    begin = timezone.now()
    with time_machine.travel(begin, tick=False):
        for _ in range(door.ATTEMPTS_PER_MINUTE):
            let_in("ALICE@example.com", "wrong")
        assert b"Too many attempts" in log_in(Client()).content
        assert let_in(address="198.51.100.9")
    with time_machine.travel(begin + timedelta(seconds=61), tick=False):
        assert let_in()


def test_one_address_that_tries_many_people_is_throttled_too(alice: User):
    for number in range(door.ATTEMPTS_PER_MINUTE_AND_ADDRESS):
        let_in(f"person{number}@example.com", "wrong")
    assert not let_in()


def test_all_addresses_of_an_ipv6_subscriber_are_one(alice: User):
    for number in range(door.ATTEMPTS_PER_MINUTE):
        let_in(password="wrong", address=f"2001:db8:0:7::{number}")
    assert not let_in(address="2001:db8:0:7:ffff::1")
    assert let_in(address="2001:db8:0:8::1")


def test_an_account_is_throttled_whatever_address_tries(alice: User):
    for number in range(door.ATTEMPTS_PER_MINUTE_AND_ACCOUNT):
        let_in(password="wrong", address=f"198.51.100.{number}")
    assert not let_in(address="203.0.113.9")


def test_a_forged_forwarded_address_does_not_help(alice: User, settings: Settings):
    settings.TRUSTED_PROXY_HOPS = 1
    tries = [f"198.51.100.{number}, 203.0.113.7" for number in range(door.ATTEMPTS_PER_MINUTE + 1)]
    for forwarded in tries[:-1]:
        let_in(password="wrong", **{"X-Forwarded-For": forwarded})
    assert not let_in(**{"X-Forwarded-For": tries[-1]})


def test_passwords_are_hashed_by_scrypt(settings: Settings):
    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    assert identify_hasher(make_password(PASSWORD)).algorithm == "scrypt"


def test_a_forgotten_password_is_set_anew_by_mail(alice: User):
    elsewhere = Client()
    log_in(elsewhere)
    Client().post("/account/password/reset/", {"email": "alice@example.com"})
    [message] = mail.outbox
    assert message.alternatives[0][1] == "text/html"
    link = re.search(r"http://testserver(/account/password/reset/key/\S+)", str(message.body))
    assert link is not None
    client = Client()
    form = client.get(link[1], follow=True)
    client.post(form.redirect_chain[-1][0], dict.fromkeys(["password1", "password2"], NEW))
    assert let_in(password=NEW)
    assert not get_user(elsewhere).is_authenticated


def test_a_reset_for_nobody_sends_nothing_and_says_the_same(alice: User):
    answers = {
        Client().post("/account/password/reset/", {"email": email})["Location"]
        for email in ("alice@example.com", "charlie@example.com")
    }
    assert len(answers) == 1
    assert [message.to for message in mail.outbox] == [["alice@example.com"]]


def test_a_new_password_ends_the_other_sessions(alice: User):
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        log_in(client)
    confirm(here)
    form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    here.post("/account/password/change/", form)
    assert get_user(here).is_authenticated
    assert not get_user(elsewhere).is_authenticated
    assert UserSession.objects.filter(user=alice).count() == 1


def test_sessions_are_listed_and_ended(alice: User):
    here, elsewhere = Client(), Client()
    log_in(here)
    log_in(elsewhere, address="198.51.100.9", **{"User-Agent": "Her phone"})
    page = here.get("/account/sessions/").content.decode()
    assert "198.51.100.9" in page
    assert "Her phone" in page
    here.post("/account/sessions/")
    assert get_user(here).is_authenticated
    assert not get_user(elsewhere).is_authenticated


# The second factor


@pytest.fixture
def app(alice: User) -> Authenticator:
    return TOTP.activate(alice, SECRET).instance


def test_with_a_second_factor_the_password_alone_is_not_enough(app: Authenticator):
    assert not let_in()


def test_with_the_code_it_is_and_a_code_works_once(app: Authenticator):
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        for admitted in (True, False):
            client = Client()
            assert log_in(client)["Location"].startswith(CODE)
            client.post(CODE, {"code": code(now)})
            assert get_user(client).is_authenticated is admitted


def test_after_too_many_wrong_codes_even_the_right_one_waits(app: Authenticator):
    begin = timezone.now()
    client = Client()
    with time_machine.travel(begin, tick=False):
        log_in(client)
        for _ in range(5):
            client.post(CODE, {"code": "000000"})
        client.post(CODE, {"code": code(begin)})
        assert not get_user(client).is_authenticated
    later = begin + timedelta(seconds=61)
    with time_machine.travel(later, tick=False):
        client.post(CODE, {"code": code(later)})
        assert get_user(client).is_authenticated


def test_another_persons_code_is_no_good(app: Authenticator, acme: Organization):
    make_person("bob@example.com", acme)
    TOTP.activate(User.objects.get(email="bob@example.com"), SECRET[::-1])
    client = Client()
    log_in(client, "bob@example.com")
    client.post(CODE, {"code": code()})
    assert not get_user(client).is_authenticated


def enroll(client: Client) -> None:
    confirm(client)
    page = client.get("/account/2fa/totp/activate/")
    assert "no-store" in page["Cache-Control"]
    secret = page.context["form"].secret
    value = hotp_value(secret, int(timezone.now().timestamp()) // 30)
    client.post("/account/2fa/totp/activate/", {"code": format_hotp_value(value)})


@pytest.mark.django_db(
    transaction=True, serialized_rollback=True
)  # What follows a change happens once it is committed.
def test_a_person_sets_one_up_which_ends_the_other_sessions_and_gets_recovery_codes(alice: User):
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        log_in(client)
    enroll(here)
    assert get_user(here).is_authenticated
    assert not get_user(elsewhere).is_authenticated
    page = here.get("/account/2fa/recovery-codes/")
    recovery = page.context["unused_codes"]
    lost_phone = Client()
    log_in(lost_phone)
    lost_phone.post(CODE, {"code": recovery[0]})
    assert get_user(lost_phone).is_authenticated
    assert "authenticator app" in mail.outbox[0].subject.lower()


def test_a_secret_is_kept_encrypted(alice: User, app: Authenticator):
    assert SECRET not in str(Authenticator.objects.get().data)


def test_staff_need_a_second_factor_for_the_admin_where_the_setting_says_so(staff: User, settings: Settings):
    client = Client()
    log_in(client)
    assert client.get("/admin/").status_code == 200
    settings.STAFF_SECOND_FACTOR = True
    page = client.get("/admin/", follow=True)
    assert page.redirect_chain[-1][0] == "/account/2fa/"
    assert b"Set up a second factor first" in page.content
    enroll(client)
    assert client.get("/admin/").status_code == 200


def test_an_operator_removes_a_lost_one_without_seeing_its_secret(alice: User, app: Authenticator):
    client, hers = Client(), Client()
    hers.force_login(alice)
    client.force_login(make_person("ops@example.com", is_staff=True, is_superuser=True))
    path = f"/admin/mfa/authenticator/{app.pk}"
    assert app.data["secret"] not in client.get(f"{path}/change/").content.decode()
    client.post(f"{path}/delete/", {"post": "yes"})
    assert let_in()
    assert not get_user(hers).is_authenticated
