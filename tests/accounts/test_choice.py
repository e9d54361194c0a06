"""For whom a person acts on the pages of the browsable API."""

import re

import pytest
from django.test import Client

from accounts.models import Membership, Organization, User
from accounts.scopes import Role

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]
PAGE = {"Accept": "text/html"}


@pytest.fixture
def browser(alice: User, globex: Organization) -> Client:
    """Alice's, who is a member of two organizations, logged in."""
    Membership.objects.create(user=alice, organization=globex, role=Role.VIEWER)
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    return client


def choose(browser: Client, organization: str, mode: str, back: str = "/v1/jobs"):
    page = browser.get("/v1/me", headers=PAGE).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    chosen = {"organization": organization, "mode": mode, "next": back, "csrfmiddlewaretoken": token[1]}
    return browser.post("/people/choose", chosen)


def seen(browser: Client, **headers: str) -> tuple[str, bool]:
    me = browser.get("/v1/me", headers=headers).json()
    return me["organization"]["id"], me["livemode"]


def test_a_choice_on_the_page_holds_for_what_follows(
    browser: Client, acme: Organization, globex: Organization
):
    assert seen(browser) == (acme.pk, False)
    answer = choose(browser, globex.pk, "live")
    assert (answer.status_code, answer["Location"]) == (302, "/v1/jobs")
    assert seen(browser) == (globex.pk, True)
    page = browser.get("/v1/me", headers=PAGE).content.decode()
    assert re.findall(r"<option[^>]* selected>(.*?)</option>", page) == [globex.name, "live"]


def test_headers_decide_before_what_was_chosen(browser: Client, acme: Organization, globex: Organization):
    choose(browser, globex.pk, "live")
    assert seen(browser, **{"X-Organization": acme.pk, "X-Mode": "test"}) == (acme.pk, False)


def test_a_choice_ends_with_the_membership(browser: Client, acme: Organization, globex: Organization):
    choose(browser, globex.pk, "test")
    Membership.objects.filter(organization=globex).delete()
    assert seen(browser) == (acme.pk, False)


@pytest.mark.parametrize(("organization", "mode"), [("org_" + "0" * 26, "test"), (None, "staging")])
def test_what_the_form_does_not_offer_is_refused(
    browser: Client, acme: Organization, organization: str | None, mode: str
):
    assert choose(browser, organization or acme.pk, mode).status_code == 400
    assert seen(browser) == (acme.pk, False)


def test_a_choice_leads_to_no_other_host(browser: Client, acme: Organization):
    assert choose(browser, acme.pk, "test", "https://elsewhere.example/")["Location"] == "/v1/me"


def test_a_choice_without_the_forms_token_is_refused(browser: Client, globex: Organization):
    assert browser.post("/people/choose", {"organization": globex.pk, "mode": "live"}).status_code == 403


def test_nobody_chooses_who_is_not_logged_in(acme: Organization):
    answer = Client().post("/people/choose", {"organization": acme.pk, "mode": "live"})
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/account/login/")
