"""`manage.py createorganization`, `createuser` and `createapikey`."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.authentication import find_key
from accounts.models import Organization, User

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_an_organization_is_made_and_its_id_printed():
    printed = run("createorganization", "Acme", "--plan", "pro")
    organization = Organization.objects.get()
    assert printed == f"{organization.pk}\n"
    assert (organization.name, organization.plan_id) == ("Acme", "pro")


def test_an_organization_is_made_once(acme: Organization):
    with pytest.raises(CommandError, match="already"):
        run("createorganization", "Acme")


def test_an_unknown_plan_is_refused_with_those_there_are():
    with pytest.raises(CommandError, match=r"no plan 'gold'.*free, test, scale, pro"):
        run("createorganization", "Acme", "--plan", "gold")


def test_the_key_is_printed_alone(acme: Organization):
    printed = run("createapikey", "--organization", "Acme", "--mode", "test")
    key = find_key(printed.removesuffix("\n"))
    assert (key.organization, key.mode, key.expires_at) == (acme, "test", None)
    assert set(key.scopes) == {"jobs:read", "jobs:write"}


@pytest.mark.parametrize("scopes", [["jobs:read", "usage:read"], ["jobs:read,usage:read"]])
def test_scopes_mode_name_and_expiry_are_as_asked(acme: Organization, scopes: list[str]):
    words = ["--mode", "live", "--scopes", *scopes, "--expires", "2999-01-31", "--name", "server"]
    key = find_key(run("createapikey", "--organization", "Acme", *words).strip())
    assert (key.mode, key.name, key.scopes) == ("live", "server", ["jobs:read", "usage:read"])
    assert key.expires_at == datetime(2999, 1, 31, tzinfo=UTC)


def test_without_the_organization_it_says_how_to_make_one():
    with pytest.raises(CommandError, match="There is no organization 'Acme'"):
        run("createapikey", "--organization", "Acme", "--mode", "test")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mode", "both"], "invalid choice: 'both'"),
        (["--mode", "test", "--scopes", "jobs:everything"], "Unknown: jobs:everything"),
        (["--mode", "test", "--expires", "tomorrow"], "'tomorrow' is no time"),
        (["--mode", "test", "--expires", "2027-02-31"], "is no time"),
        (["--mode", "test", "--expires", "2001-01-01"], "is past"),
    ],
)
def test_what_does_not_fit_is_said(acme: Organization, words: list[str], message: str):
    with pytest.raises(CommandError, match=message):
        run("createapikey", "--organization", "Acme", *words)
    assert not acme.api_keys.exists()


def test_a_first_person_can_log_in_with_the_password_that_is_printed(acme: Organization):
    password = run("createuser", "Alice@Example.com", "--organization", "Acme", "--role", "owner").strip()
    user = User.objects.get(email="alice@example.com")
    assert user.check_password(password)
    assert [(each.organization, each.role) for each in user.memberships.all()] == [(acme, "owner")]


def test_a_person_who_is_there_joins_and_keeps_the_password(acme: Organization, globex: Organization):
    password = run("createuser", "bob@example.com", "--organization", "Acme").strip()
    assert run("createuser", "bob@example.com", "--organization", "Globex", "--role", "admin") == ""
    bob = User.objects.get(email="bob@example.com")
    assert bob.check_password(password)
    assert {(each.organization.name, each.role) for each in bob.memberships.all()} == {
        ("Acme", "member"),
        ("Globex", "admin"),
    }


@pytest.mark.parametrize("words", [("nobody", "Acme"), ("alice@example.com", "Nowhere")])
def test_a_person_without_address_or_organization_is_refused(acme: Organization, words: tuple[str, str]):
    with pytest.raises(CommandError):
        run("createuser", words[0], "--organization", words[1])
    assert not User.objects.exists()
