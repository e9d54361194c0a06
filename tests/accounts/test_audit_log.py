"""Who changed what, when and from where."""

from datetime import timedelta

import pytest
from auditlog.models import LogEntry
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts import services
from accounts.key_authority import Authority, BeyondAuthorityError
from accounts.models import ApiKey, Organization, Plan, User
from tests.accounts.conftest import Key, make_key, make_person

pytestmark = pytest.mark.django_db


def last_entry(of: object) -> LogEntry:
    return LogEntry.objects.get_for_object(of).latest("timestamp")


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(make_person("ops@example.com", is_staff=True, is_superuser=True))
    return client


def test_a_change_by_a_person_names_the_person_the_address_and_the_request(
    admin: Client, acme: Organization, settings: Settings
):
    settings.TRUSTED_PROXY_HOPS = 1
    headers = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7", "X-Request-Id": "request-1"}
    admin.post(f"/admin/accounts/organization/{acme.pk}/suspend/", headers=headers)
    entry = last_entry(acme)
    assert (entry.actor_email, entry.remote_addr, entry.cid) == (
        "ops@example.com",
        "203.0.113.7",
        "request-1",
    )
    assert entry.changes["suspended_at"][0] == "None"
    assert timezone.now() - entry.timestamp < timedelta(minutes=1)


def test_a_change_by_a_key_names_the_key(api: Client, acme_key: Key):
    made = api.post("/v1/api-keys", {"name": "x"}, content_type="application/json", headers=acme_key.headers)
    entry = last_entry(ApiKey.objects.get(pk=made.json()["id"]))
    assert (entry.actor, entry.additional_data) == (None, {"api_key": acme_key.row.pk})
    assert entry.remote_addr == "127.0.0.1"


def test_a_change_by_a_command_names_the_command(db: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["manage.py", "createorganization", "Acme"])
    call_command("createorganization", "Acme")
    assert last_entry(Organization.objects.get()).additional_data == {"command": "createorganization"}


def test_every_change_of_a_keys_life_is_there(acme: Organization):
    key = make_key(acme).row
    services.rotate_key(api_key=key, overlap_seconds=60)
    key.refresh_from_db()
    services.revoke_key(api_key=key)
    entries = LogEntry.objects.get_for_object(key).order_by("timestamp")
    assert [entry.get_action_display() for entry in entries] == ["create", "update", "update"]
    assert [list(entry.changes) for entry in entries[1:]] == [
        ["expires_at", "rotated_at"],
        ["revoked_at"],
    ]


def test_rotation_logs_the_new_key_as_made(acme: Organization):
    new, _ = services.rotate_key(api_key=make_key(acme).row, overlap_seconds=0)
    assert [entry.action for entry in LogEntry.objects.get_for_object(new)] == [LogEntry.Action.CREATE]


def test_changes_of_plans_limits_and_members_are_there(acme: Organization, bob: User):
    plan = Plan.objects.get(code="pro")
    plan.create_per_minute = 61
    plan.save()
    assert last_entry(plan).changes == {"create_per_minute": ["60", "61"]}
    acme.create_per_minute = 5
    acme.save()
    assert last_entry(acme).changes == {"create_per_minute": ["None", "5"]}
    membership = bob.memberships.get()
    membership.delete()
    assert LogEntry.objects.filter(
        object_repr="bob@example.com in Acme", action=LogEntry.Action.DELETE
    ).exists()


def test_a_use_of_a_key_is_no_change(api: Client, acme_key: Key):
    before = LogEntry.objects.count()
    assert api.get("/v1/api-keys", headers=acme_key.headers).status_code == 200
    assert ApiKey.objects.get().last_used_at is not None
    assert LogEntry.objects.count() == before


def test_neither_secret_nor_digest_nor_password_is_there(acme: Organization, alice: User):
    key = make_key(acme)
    alice.set_password("another battery of horses")
    alice.save()
    everything = str(list(LogEntry.objects.values()))
    assert key.text[-49:] not in everything
    assert key.row.secret_sha256 not in everything
    assert alice.password not in everything
    assert last_entry(alice).changes == {"password": ["hidden", "hidden"]}


def test_the_log_is_read_in_the_admin_and_changed_by_nobody(admin: Client, acme: Organization):
    entry = last_entry(acme)
    path = f"/admin/auditlog/logentry/{entry.pk}"
    assert "Acme" in admin.get("/admin/auditlog/logentry/").content.decode()
    assert "Acme" in admin.get(f"{path}/change/").content.decode()
    assert admin.post(f"{path}/change/", {"actor": ""}).status_code == 403
    assert admin.post(f"{path}/delete/", {"post": "yes"}).status_code == 403
    assert admin.post("/admin/auditlog/logentry/add/", {}).status_code == 403


def test_a_change_that_fails_leaves_no_trace(acme: Organization):
    """The entry is part of the change's transaction."""
    make_key(acme)
    before = LogEntry.objects.count()
    with pytest.raises(BeyondAuthorityError):
        services.mint_key(
            organization=acme,
            livemode=False,
            name="x",
            scopes=frozenset({"jobs:read"}),
            authority=Authority(frozenset()),
        )
    assert LogEntry.objects.count() == before
