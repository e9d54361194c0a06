"""`/playground`, for people who are signed in or have a test key; a laptop lets a guest in with a click."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.management.commands.seeddemo import GUEST_EMAIL, make_guest
from accounts.models import Organization, User
from accounts.services import create_organization
from tests.accounts.conftest import make_person

pytestmark = pytest.mark.django_db
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def acme() -> Organization:
    return create_organization(name="Acme", plan="pro")


@pytest.fixture
def alice(acme: Organization) -> User:
    return make_person("alice@example.com", acme)


def text_of(client: Client) -> str:
    answer = client.get("/playground", headers=BROWSER)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_stranger_may_look_and_is_offered_a_log_in_and_a_test_key(client: Client):
    page = text_of(client)
    assert 'href="/account/login/?next=/playground"' in page
    assert "Test key" in page
    assert "Continue as guest" not in page


def test_a_member_acts_for_an_organization_of_theirs_and_no_other(client: Client, alice: User):
    create_organization(name="Globex")
    client.force_login(alice)
    page = text_of(client)
    assert re.findall(r"<option[^>]*>(\w+)</option>", page)[:3] == ["Acme", "test", "live"]
    assert "Globex" not in page
    assert "Test key" not in page


def test_the_mode_that_was_chosen_elsewhere_is_kept(client: Client, alice: User, acme: Organization):
    client.force_login(alice)
    client.post("/people/choose", {"organization": acme.pk, "mode": "live", "next": "/playground"})
    assert re.search(r'value="live" selected', text_of(client))


def test_somebody_without_an_organization_learns_how_to_get_on(client: Client):
    client.force_login(make_person("charlie@example.com"))
    page = text_of(client)
    assert "You are not a member of an organization yet." in page
    assert "Test key" in page


def test_it_runs_nothing_inline_and_loads_nothing_from_other_hosts(client: Client):
    answer = client.get("/playground", headers=BROWSER)
    page = answer.content.decode()
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", page)
    loaded = re.findall(r'(?:src|href|sample|sample-voice)="/static/([^"]+)"', page)
    assert "console/playground/main.js" in loaded
    assert [name for name in loaded if finders.find(name) is None] == []


def test_it_takes_few_queries(
    client: Client, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
):
    client.force_login(alice)
    with django_assert_max_num_queries(5):
        text_of(client)


# --- The guest of a laptop ---


@pytest.fixture
def demo(settings: Settings) -> Organization:
    settings.DEMO_SIGN_IN = True
    organization = create_organization(name="demo")
    make_guest(organization)
    return organization


def test_on_a_laptop_one_click_leads_into_the_playground_in_test_mode(client: Client, demo: Organization):
    assert "Continue as guest" in text_of(client)
    answer = client.post("/playground/guest", follow=True)
    page = answer.content.decode()
    assert answer.redirect_chain == [("/playground", 302)]
    assert GUEST_EMAIL in page
    assert re.search(r"<option[^>]*selected>demo</option>", page)
    assert re.search(r'value="test" selected', page)


def test_the_guest_is_no_operator_and_manages_no_keys(client: Client, demo: Organization):
    client.post("/playground/guest")
    assert client.get("/admin/", headers=BROWSER).status_code == 302
    assert client.get("/v1/api-keys").status_code == 403
    assert client.get("/v1/me").json()["organization"]["id"] == demo.pk


def test_everywhere_else_there_is_no_such_door(client: Client, demo: Organization, settings: Settings):
    settings.DEMO_SIGN_IN = False
    assert client.post("/playground/guest").status_code == 404
    assert "sessionid" not in client.cookies


def test_a_guest_who_was_made_an_operator_is_not_let_in(client: Client, demo: Organization):
    User.objects.filter(email=GUEST_EMAIL).update(is_staff=True)
    assert client.post("/playground/guest").status_code == 404


def test_another_site_can_not_sign_a_browser_in(demo: Organization):
    client = Client(enforce_csrf_checks=True)
    assert client.post("/playground/guest").status_code == 403


def test_only_local_mode_has_the_door():
    from avatar_api.settings import base

    assert base.DEMO_SIGN_IN is False
