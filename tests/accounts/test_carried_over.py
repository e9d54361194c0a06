"""What people had before allauth still serves them: a second factor, a session."""

from importlib import import_module

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib.auth import get_user
from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import User
from tests.accounts.test_log_in import CODE, log_in

pytestmark = pytest.mark.django_db
migration = import_module("accounts.migrations.0010_second_factors")


def code(device: TOTPDevice) -> str:
    totp = TOTP(device.bin_key)
    totp.time = timezone.now().timestamp()
    return f"{totp.token():06d}"


@pytest.fixture
def device(alice: User) -> TOTPDevice:
    """Enrolled as the release before does it: made unconfirmed, and confirmed by a code from the app."""
    device = TOTPDevice.objects.create(user=alice, name="Authenticator app", confirmed=False)
    assert device.verify_token(code(device))
    device.confirmed = True
    device.save()
    return device


def test_an_enrolled_app_goes_on_showing_the_right_codes(alice: User, device: TOTPDevice):
    EmailAddress.objects.all().delete()
    migration.carry_over(apps, None)
    client, now = Client(), timezone.now()
    with time_machine.travel(now, tick=False):
        assert log_in(client)["Location"].startswith(CODE)
        client.post(CODE, {"code": "000000"})
        assert not get_user(client).is_authenticated
        client.post(CODE, {"code": code(device)})
    assert get_user(client).is_authenticated
    assert EmailAddress.objects.get(user=alice).verified


def test_a_device_that_was_never_confirmed_is_left_behind(alice: User):
    TOTPDevice.objects.create(user=alice, confirmed=False)
    migration.carry_over(apps, None)
    assert not Authenticator.objects.exists()


def test_the_migration_may_run_twice(alice: User, device: TOTPDevice):
    for _ in range(2):
        migration.carry_over(apps, None)
    assert Authenticator.objects.count() == 1
    assert TOTPDevice.objects.count() == 1


def test_a_session_of_the_release_before_holds(alice: User, monkeypatch: pytest.MonkeyPatch):
    client = Client()
    with monkeypatch.context() as before:
        before.delattr(User, "_get_session_auth_hash")
        client.force_login(alice)
    assert get_user(client).is_authenticated
