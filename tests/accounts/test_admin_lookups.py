"""Lists of the admin are filtered by what they show; a hidden column can't be guessed letter by letter."""

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client

from accounts.models import ApiKey, Organization, User
from accounts.scopes import Role
from jobs.models import Job
from tests import factories
from tests.accounts.conftest import make_key, make_person

pytestmark = pytest.mark.django_db

# Columns with hashes or secrets, on every page that has one and does not show it.
HIDDEN = [
    (model, field.name)
    for model, page in admin.site._registry.items()
    for field in model._meta.concrete_fields
    if field.name.endswith(("hash", "sha256", "secret", "password")) and field.name not in page.list_display
]


def browser_of(person: User) -> Client:
    browser = Client()
    browser.force_login(person)
    return browser


@pytest.fixture
def operator(db: None) -> Client:
    return browser_of(make_person("ops@example.com", is_staff=True, is_superuser=True))


@pytest.fixture
def staff(acme: Organization) -> Client:
    return browser_of(make_person("olga@example.com", acme, Role.OWNER, is_staff=True))


def changelist(model: type[Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def test_there_are_hidden_columns() -> None:
    assert {(ApiKey, "secret_sha256"), (Job, "token_hash"), (User, "password")} <= set(HIDDEN)


@pytest.mark.parametrize(("model", "column"), HIDDEN, ids=lambda value: getattr(value, "__name__", value))
def test_nobody_filters_by_a_hidden_column(operator: Client, model: type[Model], column: str) -> None:
    for lookup in ("", "__startswith", "__regex", "__gt"):
        assert operator.get(changelist(model), {f"{column}{lookup}": "a"}).status_code == 400


def test_staff_filters_by_what_the_list_shows(staff: Client, acme: Organization) -> None:
    job, key = factories.job(acme), make_key(acme).row

    assert job.pk in staff.get(changelist(Job), {"status__exact": job.status}).content.decode()
    assert job.pk in staff.get(changelist(Job), {"pk": job.pk, "mode": "test"}).content.decode()
    assert key.pk in staff.get(changelist(ApiKey), {"organization__id__exact": acme.pk}).content.decode()
    assert staff.get(changelist(Job), {"token_hash__startswith": "a"}).status_code == 400
