"""Log-in: throttled, hashed well, with a second factor for those who want one."""

from datetime import datetime, timedelta

import pytest
import time_machine
from django.contrib.auth import get_user
from django.contrib.auth.hashers import identify_hasher, make_password
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings

from accounts import log_in
from accounts.models import Organization, User
from avatar_api.settings import base
from tests.accounts.conftest import make_person

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"
ADMIN, PEOPLE = "/admin/login/", "/people/log-in"


@pytest.fixture
def staff(acme: Organization) -> User:
    return make_person("olga@example.com", acme, is_staff=True)


def post(
    path: str, email: str, password: str = PASSWORD, token: str = "", address: str = "203.0.113.7"
) -> HttpResponse:
    form = {"username": email, "password": password, "otp_token": token}
    return Client().post(path, form, REMOTE_ADDR=address)


def let_in(response: HttpResponse) -> bool:
    return response.status_code == 302


@pytest.mark.parametrize("path", [ADMIN, PEOPLE])
def test_the_right_password_lets_in_and_a_wrong_one_does_not(staff: User, path: str):
    assert let_in(post(path, "olga@example.com"))
    assert not let_in(post(path, "olga@example.com", "wrong"))
    assert not let_in(post(path, "nobody@example.com"))


def test_the_address_may_be_written_in_any_case(staff: User):
    assert let_in(post(ADMIN, " Olga@Example.COM "))


def test_who_is_not_staff_enters_the_browsable_api_only(alice: User):
    assert let_in(post(PEOPLE, "alice@example.com"))
    assert not let_in(post(ADMIN, "alice@example.com"))


def test_a_session_of_the_browsable_api_is_ended_by_log_out(alice: User):
    client = Client()
    client.post(PEOPLE, {"username": "alice@example.com", "password": PASSWORD})
    assert get_user(client).is_authenticated
    assert client.get("/v1/me", headers={"Accept": "text/html"})["Content-Type"].startswith("text/html")
    client.post("/people/log-out")
    assert not get_user(client).is_authenticated


def test_after_too_many_attempts_even_the_right_password_waits(staff: User):
    begin = timezone.now()
    with time_machine.travel(begin, tick=False):
        for _ in range(log_in.ATTEMPTS_PER_MINUTE):
            post(ADMIN, "OLGA@example.com", "wrong")
        response = post(ADMIN, "olga@example.com")
        assert not let_in(response)
        assert "Too many attempts" in response.content.decode()
        assert let_in(post(ADMIN, "olga@example.com", address="198.51.100.9"))
    with time_machine.travel(begin + timedelta(seconds=61), tick=False):
        assert let_in(post(ADMIN, "olga@example.com"))


def test_the_throttle_is_shared_by_both_log_ins(staff: User):
    for _ in range(log_in.ATTEMPTS_PER_MINUTE):
        post(PEOPLE, "olga@example.com", "wrong")
    assert not let_in(post(ADMIN, "olga@example.com"))


def test_one_address_that_tries_many_people_is_throttled_too(staff: User):
    for number in range(log_in.ATTEMPTS_PER_MINUTE_AND_ADDRESS):
        post(ADMIN, f"person{number}@example.com", "wrong")
    assert not let_in(post(ADMIN, "olga@example.com"))


def test_a_forged_forwarded_address_does_not_help(staff: User, settings: Settings):
    settings.TRUSTED_PROXY_HOPS = 1
    for number in range(log_in.ATTEMPTS_PER_MINUTE + 1):
        headers = {"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.7"}
        form = {"username": "olga@example.com", "password": PASSWORD if number else "wrong"}
        last = Client().post(ADMIN, form, headers=headers)
    assert not let_in(last)


def test_passwords_are_hashed_by_scrypt(settings: Settings):
    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    assert identify_hasher(make_password(PASSWORD)).algorithm == "scrypt"


# The second factor


def code(device: TOTPDevice, now: datetime) -> str:
    totp = TOTP(device.bin_key)
    totp.time = now.timestamp()
    return f"{totp.token():06d}"


@pytest.fixture
def device(staff: User) -> TOTPDevice:
    return TOTPDevice.objects.create(user=staff, name="app", confirmed=True)


def test_with_a_second_factor_the_password_alone_is_not_enough(staff: User, device: TOTPDevice):
    response = post(ADMIN, "olga@example.com")
    assert not let_in(response)
    assert "The code is not valid" in response.content.decode()


@pytest.mark.parametrize("path", [ADMIN, PEOPLE])
def test_with_the_code_it_is_and_a_code_works_once(staff: User, device: TOTPDevice, path: str):
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        assert let_in(post(path, "olga@example.com", token=code(device, now)))
        assert not let_in(post(path, "olga@example.com", token=code(device, now)))


def test_wrong_codes_slow_down_right_ones(staff: User, device: TOTPDevice):
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        post(ADMIN, "olga@example.com", token="000000")
        assert not let_in(post(ADMIN, "olga@example.com", token=code(device, now)))
    later = now + timedelta(seconds=2)
    with time_machine.travel(later, tick=False):
        assert let_in(post(ADMIN, "olga@example.com", token=code(device, later)))


def test_a_wrong_password_does_not_tell_that_there_is_a_second_factor(staff: User, device: TOTPDevice):
    assert "code isn" not in post(ADMIN, "olga@example.com", "wrong").content.decode()


def test_another_persons_code_is_no_good(staff: User, device: TOTPDevice, acme: Organization):
    other = make_person("otto@example.com", acme, is_staff=True)
    theirs = TOTPDevice.objects.create(user=other, name="app", confirmed=True)
    assert not let_in(post(ADMIN, "olga@example.com", token=code(theirs, timezone.now())))


def test_a_person_sets_one_up_by_proving_that_the_app_has_it(staff: User):
    client, now = Client(), timezone.now()
    client.force_login(staff)
    page = client.get("/admin/two-factor/")
    assert "<svg" in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    device = TOTPDevice.objects.get(confirmed=False)
    with time_machine.travel(now, tick=False):
        client.post("/admin/two-factor/", {"otp_token": "nonsense"})
        assert not TOTPDevice.objects.filter(confirmed=True).exists()
    later = now + timedelta(seconds=2)
    with time_machine.travel(later, tick=False):
        client.post("/admin/two-factor/", {"otp_token": code(device, later)})
    assert TOTPDevice.objects.get().confirmed
    assert "<svg" not in client.get("/admin/two-factor/").content.decode()


def test_an_operator_removes_a_lost_one_without_seeing_its_secret(staff: User, device: TOTPDevice):
    client = Client()
    client.force_login(make_person("ops@example.com", is_staff=True, is_superuser=True))
    path = f"/admin/otp_totp/totpdevice/{device.pk}"
    assert device.key not in client.get(f"{path}/change/").content.decode()
    client.post(f"{path}/delete/", {"post": "yes"})
    assert let_in(post(ADMIN, "olga@example.com"))
