"""The form with which a person who is logged in tries the API."""

import re

import pytest
from django.test import Client

from accounts.models import Membership, Organization, User
from jobs.models import Job
from tests import factories
from tests.jobs.clients import form

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis", "store")]
PAGE = {"Accept": "text/html"}


@pytest.fixture
def browser(acme: Organization) -> Client:
    """Alice's, logged in."""
    alice = User.objects.create_user("alice@example.com", "correct horse battery staple")
    Membership.objects.create(user=alice, organization=acme, role="owner")
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    return client


def test_a_person_makes_a_job_with_the_form_of_the_page(
    browser: Client, portrait: bytes, speech: bytes
) -> None:
    page = browser.get("/v1/jobs", headers=PAGE).content.decode()
    names = set(re.findall(r'<(?:input|select|textarea)[^>]*name="(\w+)"', page))
    assert names >= {"image", "audio", "prompt", "resolution", "preset", "csrfmiddlewaretoken"}
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    sent = form(
        portrait, speech, prompt="Hello.", resolution="480p", preset="fast", csrfmiddlewaretoken=token[1]
    )
    answer = browser.post("/v1/jobs", sent, headers=PAGE)
    assert answer.status_code == 202
    assert answer["Content-Type"].startswith("text/html")
    assert Job.objects.get().prompt == "Hello."


def test_a_form_without_its_token_is_refused(browser: Client, portrait: bytes, speech: bytes) -> None:
    answer = browser.post("/v1/jobs", form(portrait, speech))
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_a_page_is_never_answered_by_the_tag_of_the_json(browser: Client, acme: Organization) -> None:
    """Scripts of ours read the same address: a browser that revalidates their answer must not show it."""
    address = f"/v1/jobs/{factories.job(acme).id}"
    as_json = browser.get(address, headers={"Accept": "application/json"})
    known = {"If-None-Match": as_json["ETag"]}
    assert browser.get(address, headers=known | {"Accept": "application/json"}).status_code == 304
    page = browser.get(address, headers=known | PAGE)
    assert (page.status_code, page["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "ETag" not in page
    assert "Accept" in page["Vary"]
