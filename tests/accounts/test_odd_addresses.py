"""Pages for people refuse odd values, as the API does: nothing that comes in is a fault of ours."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from tests.accounts.conftest import make_person

pytestmark = pytest.mark.django_db

TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.just("\0") | st.just("9" * 4400)
FIELDS = ("login", "password", "code", "credential", "next", "organization", "mode")
some = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_person("ops@example.com", is_staff=True, is_superuser=True))
    return client


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"login": "", "password": ""},
        {"login": "a\0b@example.com", "password": "x"},
        {"login": "a@example.com", "password": "x\0"},
    ],
)
def test_a_log_in_that_makes_no_sense_shows_the_form_again(
    alice: User, redis: None, form: dict[str, str]
) -> None:
    assert Client().post("/account/login/", form).status_code == 200


@some
@given(form=st.dictionaries(st.sampled_from(FIELDS), TEXT))
def test_any_form_is_answered_without_a_fault(alice: User, redis: None, form: dict[str, str]) -> None:
    client = Client()
    assert client.post("/account/login/", form).status_code in (200, 302)
    client.force_login(alice)
    assert client.post("/people/choose", form).status_code in (302, 400)


def pages() -> Iterator[str]:
    for model in admin.site._registry:
        yield f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


@pytest.mark.parametrize("page", list(pages()))
def test_pages_of_the_admin_refuse_what_no_object_is_called(operator: Client, page: str) -> None:
    for name in ("%00", quote("\ud7ff"), "9" * 4400, "a%00b"):
        for verb in ("change", "delete", "history"):
            assert operator.get(f"{page}{name}/{verb}/").status_code in (302, 403, 404)
    for query in ("q=%00", "id=%00", "o=%00", "p=" + "9" * 4400, "e=1", "%00=1", "_facets=%00"):
        assert operator.get(f"{page}?{query}").status_code in (200, 302, 400, 403)
