"""The console's pages: for members of an organization, each seeing their own."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import Organization, User
from accounts.scopes import Role
from accounts.services import create_organization
from tests.accounts.conftest import make_person

pytestmark = pytest.mark.django_db
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PAGES = [
    "/console",
    "/console/videos",
    "/console/videos/job_1",
    "/console/keys",
    "/console/webhooks",
    "/console/usage",
]


@pytest.fixture
def acme() -> Organization:
    return create_organization(name="Acme", plan="pro")


@pytest.fixture
def alice(acme: Organization) -> User:
    return make_person("alice@example.com", acme)


@pytest.mark.parametrize("address", PAGES)
def test_a_stranger_is_sent_to_the_log_in_and_back(client: Client, address: str):
    answer = client.get(address, headers=BROWSER)
    assert answer.status_code == 302
    assert answer["Location"].endswith(f"?next={address}")


@pytest.mark.parametrize("address", PAGES)
def test_a_member_sees_their_organization_and_no_other(
    client: Client, alice: User, address: str, django_assert_max_num_queries: DjangoAssertNumQueries
):
    create_organization(name="Globex")
    client.force_login(alice)
    with django_assert_max_num_queries(6):
        answer = client.get(address, headers=BROWSER)
    page = answer.content.decode()
    assert (answer.status_code, answer["Cache-Control"]) == (200, "private, no-store")
    assert "Acme" in page
    assert "Globex" not in page
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", page)
    loaded = re.findall(r'(?:src|href)="/static/([^"]+)"', page)
    assert [name for name in loaded if finders.find(name) is None] == []


@pytest.mark.parametrize("address", PAGES)
def test_somebody_without_an_organization_learns_how_to_get_on(client: Client, address: str):
    client.force_login(make_person("charlie@example.com"))
    assert "You are not a member of an organization yet" in client.get(address).content.decode()


def test_a_member_who_may_not_manage_keys_is_told_who_can(client: Client, acme: Organization):
    client.force_login(make_person("bob@example.com", acme, Role.MEMBER))
    page = client.get("/console/keys").content.decode()
    assert "Create key" not in page
    assert "An owner or admin of Acme can manage them." in page


def test_a_member_who_may_not_manage_webhooks_learns_who_can(client: Client, acme: Organization):
    client.force_login(make_person("bob@example.com", acme, Role.MEMBER))
    page = client.get("/console/webhooks").content.decode()
    assert "Create webhook" not in page
    assert "An owner or admin of Acme can manage them." in page


def test_a_viewer_is_offered_nothing_that_changes_a_video(client: Client, acme: Organization):
    client.force_login(make_person("bob@example.com", acme, Role.VIEWER))
    page = client.get("/console/videos/job_1").content.decode()
    assert "Delete the files" not in page
    assert 'data-may-change="no"' in page
