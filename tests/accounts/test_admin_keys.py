"""Keys in the admin: made, shown once, rotated, revoked."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.authentication import find_key
from accounts.models import ApiKey, Organization, User
from accounts.scopes import Role
from avatar_api.common.problems import Problem
from tests.accounts.conftest import Key, make_key, make_person

pytestmark = pytest.mark.django_db

ADD = "/admin/accounts/apikey/add/"
LIST = "/admin/accounts/apikey/"


@pytest.fixture
def operator(db: None) -> User:
    return make_person("ops@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def admin(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def admin_of_acme(acme: Organization) -> Client:
    client = Client()
    client.force_login(make_person("olga@example.com", acme, Role.ADMIN, is_staff=True))
    return client


def form(organization: Organization, **fields: Any) -> dict[str, Any]:
    values = {"organization": organization.pk, "name": "server", "mode": "live", "scopes": ["jobs:read"]}
    return values | {"expires_at_0": "", "expires_at_1": "", "allowed_ips": ""} | once() | fields


def once() -> dict[str, Any]:
    """What the hidden field of a freshly shown form holds."""
    return {"form_id": str(uuid.uuid4())}


def shown_key(response: HttpResponse) -> str:
    """The key that the page shows."""
    assert response.status_code == 200
    found = re.search(r'id="key"[^>]*>(av_[0-9A-Za-z_]+)<', response.content.decode())
    assert found
    return found.group(1)


def test_a_new_key_is_shown_and_works(admin: Client, acme: Organization, operator: User):
    fields = {"scopes": ["jobs:read", "jobs:write"], "allowed_ips": "203.0.113.0/24\n\n 2001:db8::1 "}
    key = find_key(shown_key(admin.post(ADD, form(acme, **fields))))
    assert (key.organization, key.name, key.mode) == (acme, "server", "live")
    assert key.scopes == ["jobs:read", "jobs:write"]
    assert key.allowed_ips == ["203.0.113.0/24", "2001:db8::1/128"]
    assert key.created_by == operator


def test_it_is_shown_this_once_and_kept_nowhere(admin: Client, acme: Organization):
    response = admin.post(ADD, form(acme))
    secret = shown_key(response)[-49:]
    assert "no-store" in response["Cache-Control"]
    row = ApiKey.objects.get()
    for page in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/history/", "/admin/"):
        assert secret not in admin.get(page, follow=True).content.decode()
    assert secret not in str([session.get_decoded() for session in Session.objects.all()])
    assert secret not in str(list(ApiKey.objects.values()))
    assert secret not in str(list(admin.cookies.values()))


def test_a_reload_of_the_page_that_shows_a_key_makes_no_second_one(admin: Client, acme: Organization):
    sent = form(acme)
    key = find_key(shown_key(admin.post(ADD, sent)))
    again = admin.post(ADD, sent, follow=True)
    assert ApiKey.objects.get() == key
    assert "was created and shown before" in again.content.decode()

    rotation = {"overlap_seconds": 60} | once()
    new = find_key(shown_key(admin.post(f"{LIST}{key.pk}/rotate/", rotation)))
    assert admin.post(f"{LIST}{key.pk}/rotate/", rotation).headers["Location"] == f"{LIST}{new.pk}/change/"
    assert set(ApiKey.objects.all()) == {key, new}


def test_each_form_that_is_shown_makes_a_key_of_its_own(admin: Client, acme: Organization):
    shown = [admin.get(ADD).content.decode() for _ in range(2)]
    ids = {re.search(r'name="form_id" value="([^"]+)"', page)[1] for page in shown}  # type: ignore[index]
    assert len(ids) == 2
    for form_id in ids:
        shown_key(admin.post(ADD, form(acme, form_id=form_id)))
    assert ApiKey.objects.count() == 2


def test_what_does_not_fit_makes_no_key(admin: Client, acme: Organization):
    past = timezone.now() - timedelta(days=1)
    for fields in (
        {"name": ""},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"mode": "both"},
        {"allowed_ips": "203.0.113.7/24"},
        {"allowed_ips": "localhost"},
        {"expires_at_0": f"{past:%Y-%m-%d}", "expires_at_1": "00:00:00"},
    ):
        assert admin.post(ADD, form(acme, **fields)).status_code == 200
    assert not ApiKey.objects.exists()


def test_staff_of_an_organization_makes_keys_for_it(admin_of_acme: Client, acme: Organization):
    assert find_key(shown_key(admin_of_acme.post(ADD, form(acme)))).organization == acme


def test_asking_to_rotate_changes_nothing_yet(admin: Client, acme_key: Key):
    assert admin.get(f"{LIST}{acme_key.row.pk}/rotate/").status_code == 200
    assert find_key(acme_key.text).expires_at is None


def test_rotation_shows_the_new_key_and_lets_the_old_one_run_out(admin_of_acme: Client, acme_key: Key):
    response = admin_of_acme.post(f"{LIST}{acme_key.row.pk}/rotate/", {"overlap_seconds": 60} | once())
    assert find_key(shown_key(response)).name == acme_key.row.name
    end = find_key(acme_key.text).expires_at
    assert end is not None
    assert timedelta(seconds=50) < end - timezone.now() <= timedelta(seconds=60)


def test_a_revoked_key_is_not_rotated(admin: Client, acme: Organization):
    key = make_key(acme)
    ApiKey.objects.update(revoked_at=timezone.now())
    response = admin.post(f"{LIST}{key.row.pk}/rotate/", {"overlap_seconds": 60} | once())
    assert "is no longer active" in response.content.decode()
    assert ApiKey.objects.count() == 1


def test_one_key_is_revoked_after_a_question(admin_of_acme: Client, acme_key: Key):
    path = f"{LIST}{acme_key.row.pk}/revoke/"
    assert admin_of_acme.get(path).status_code == 200
    find_key(acme_key.text)
    assert admin_of_acme.post(path).status_code == 302
    with pytest.raises(Problem, match="revoked"):
        find_key(acme_key.text)


def test_many_keys_are_revoked_at_once_after_a_question(admin: Client, acme: Organization):
    keys = [make_key(acme) for _ in range(3)]
    asked = {"action": "revoke_selected", "_selected_action": [key.row.pk for key in keys[:2]]}
    question = admin.post(LIST, asked).content.decode()
    assert all(key.row.pk in question for key in keys[:2])
    assert not ApiKey.objects.filter(revoked_at__isnull=False).exists()
    admin.post(LIST, {**asked, "confirmed": "yes"})
    revoked = ApiKey.objects.filter(revoked_at__isnull=False).values_list("pk", flat=True)
    assert set(revoked) == {key.row.pk for key in keys[:2]}


def test_an_operator_overrides_a_limit_of_one_key(admin: Client, acme_key: Key):
    path = f"{LIST}{acme_key.row.pk}/change/"
    fields = {"name": "renamed", "scopes": ["jobs:read"], "create_per_minute": "7", "resolutions": ["480p"]}
    saved = admin.post(path, {**fields, "expires_at_0": "", "expires_at_1": ""})
    assert saved.status_code == 302
    key = find_key(acme_key.text)
    assert (key.name, key.create_per_minute, key.resolutions, key.presets) == ("renamed", 7, ["480p"], None)
    page = admin.get(path).content.decode()
    assert re.search(r"Create per minute</td>\s*<td[^>]*>7</td>\s*<td[^>]*>from the key", page)


@pytest.mark.parametrize(("state", "names"), [("active", {"a"}), ("expired", {"b"}), ("revoked", {"c", "d"})])
def test_keys_are_filtered_by_state(admin: Client, acme: Organization, state: str, names: set[str]):
    now = timezone.now()
    ends = {"a": {}, "b": {"expires_at": now}, "c": {"revoked_at": now}}
    for name, end in (ends | {"d": {"revoked_at": now, "expires_at": now}}).items():
        ApiKey.objects.filter(pk=make_key(acme, name=name).row.pk).update(**end)
    found = admin.get(LIST, {"state": state}).context["cl"].queryset
    assert {key.name for key in found} == names


def test_keys_are_filtered_by_mode(admin: Client, acme: Organization):
    live = make_key(acme, livemode=True).row
    make_key(acme)
    assert list(admin.get(LIST, {"mode": "live"}).context["cl"].queryset) == [live]


def test_an_operator_suspends_and_resumes_an_organization(admin: Client, acme: Organization):
    for button, suspended in (("suspend", True), ("resume", False)):
        path = reverse(f"admin:accounts_organization_{button}", args=[acme.pk])
        assert admin.get(path).status_code == 200
        assert admin.post(path).status_code == 302
        acme.refresh_from_db()
        assert acme.is_suspended is suspended


def test_an_operator_makes_people_plans_and_organizations(admin: Client, acme: Organization):
    person = {"email": "New@Example.com", "name": "", "usable_password": "true"}
    passwords = {"password1": "a battery of horses", "password2": "a battery of horses"}
    inline = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    assert admin.post("/admin/accounts/user/add/", person | passwords | inline).status_code == 302
    assert User.objects.get(email="new@example.com").check_password("a battery of horses")
    made = admin.post(
        "/admin/accounts/organization/add/", {"name": "New", "plan": "pro", "test_plan": "test"}
    )
    assert made.status_code == 302
    assert Organization.objects.get(name="New").plan_id == "pro"
