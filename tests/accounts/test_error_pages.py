"""Errors are pages for people with a browser and JSON for programs, never mixed."""

import pytest
from django.test import Client

from accounts.models import User
from tests.accounts.conftest import Key

pytestmark = pytest.mark.django_db

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PROBLEM = "application/problem+json"


def test_a_browser_gets_a_page_with_the_way_on(api: Client):
    response = api.get("/nowhere", headers=BROWSER)
    page = response.content.decode()
    assert (response.status_code, response["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert 'href="/"' in page
    assert 'href="/docs"' in page
    assert 'href="/account/login/"' in page
    assert response["X-Request-Id"] in page


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_a_program_gets_a_problem(api: Client, accept: str):
    response = api.get("/nowhere", headers={"Accept": accept})
    assert (response.status_code, response["Content-Type"]) == (404, PROBLEM)


def test_a_key_gets_a_problem_whatever_it_accepts(api: Client, acme_key: Key):
    assert api.get("/nowhere", headers=BROWSER | acme_key.headers)["Content-Type"] == PROBLEM


def test_below_the_api_an_unknown_address_is_a_problem(api: Client):
    assert api.get("/v1/nowhere", headers=BROWSER)["Content-Type"] == PROBLEM


def test_an_error_in_the_browsable_api_is_a_page_of_it(api: Client, alice: User):
    api.force_login(alice)
    response = api.get("/v1/jobs/nonsense", headers=BROWSER)
    assert (response.status_code, response["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "<html" in response.content.decode()[:200].lower()
    assert "not_found" in response.content.decode()


def test_a_person_who_is_signed_in_gets_a_page_for_an_unknown_address_of_the_api(api: Client, alice: User):
    api.force_login(alice)
    response = api.get("/v1/nowhere", headers=BROWSER)
    assert (response.status_code, response["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "nowhere" not in response.content.decode()


@pytest.mark.parametrize(
    ("opened", "led_to"),
    [
        ("/admin", "/admin/"),
        ("/docs/", "/docs"),
        ("/docs/errors/", "/docs/errors"),
        ("/favicon.ico", "/static/design/icon.svg"),
        ("/v1/", "/docs"),
        ("/v1", "/docs"),
    ],
)
def test_an_address_that_people_try_leads_on(api: Client, opened: str, led_to: str):
    response = api.get(opened, headers=BROWSER)
    assert response.status_code in (302, 308)
    assert response["Location"] == led_to


@pytest.mark.parametrize("path", ["/v1/", "/v1"])
def test_the_address_of_the_api_itself_holds_nothing_for_a_program(api: Client, path: str):
    assert api.get(path)["Content-Type"] == PROBLEM


def test_a_form_whose_session_has_ended_is_a_page():
    client = Client(enforce_csrf_checks=True)
    response = client.post("/account/login/", {"login": "alice@example.com"}, headers=BROWSER)
    assert (response.status_code, response["Content-Type"]) == (403, "text/html; charset=utf-8")
