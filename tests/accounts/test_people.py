"""Who asks, as a person's session says it."""

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import Membership, Organization, User
from accounts.scopes import Role, Scope
from tests.accounts.conftest import Key, make_person

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.accounts.views")]

READER = {"jobs:read", "usage:read"}


def refusal(response: HttpResponse) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_a_person_starts_in_the_first_organization_in_test_mode(api: Client, alice: User, acme: Organization):
    api.force_login(alice)
    body = api.get("/thing").json()
    assert (body["organization"], body["livemode"], body["person"]) == (acme.pk, False, "alice@example.com")


def test_headers_choose_organization_and_mode(api: Client, alice: User, globex: Organization):
    Membership.objects.create(user=alice, organization=globex, role=Role.VIEWER)
    api.force_login(alice)
    body = api.get("/thing", headers={"X-Organization": globex.pk, "X-Mode": "live"}).json()
    assert (body["organization"], body["livemode"]) == (globex.pk, True)
    assert set(body["scopes"]) == READER


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.VIEWER, READER),
        (Role.MEMBER, READER | {"jobs:write"}),
        (Role.ADMIN, set(Scope.values)),
        (Role.OWNER, set(Scope.values)),
    ],
)
def test_a_role_gives_scopes(api: Client, acme: Organization, role: str, scopes: set[str]):
    api.force_login(make_person("dora@example.com", acme, role))
    assert set(api.get("/thing").json()["scopes"]) == scopes


def test_a_viewer_writes_nothing(acme: Organization):
    client = Client()
    client.force_login(make_person("dora@example.com", acme, Role.VIEWER))
    response = client.post("/thing", {}, content_type="application/json")
    assert refusal(response) == (403, "permission_denied")


def test_a_session_without_a_csrf_token_writes_nothing(api: Client, alice: User):
    api.force_login(alice)
    assert refusal(api.post("/thing", {}, content_type="application/json")) == (403, "permission_denied")


def test_a_key_needs_no_csrf_token_even_beside_a_session(api: Client, alice: User, globex_key: Key):
    api.force_login(alice)
    response = api.post("/thing", {}, content_type="application/json", headers=globex_key.headers)
    assert response.status_code == 200


def test_a_wrong_key_is_refused_even_beside_a_session(api: Client, alice: User):
    api.force_login(alice)
    assert refusal(api.get("/thing", headers={"X-API-Key": "nonsense"})) == (401, "invalid_api_key")


def test_a_strangers_organization_and_none_at_all_are_refused_alike(
    api: Client, alice: User, globex: Organization
):
    api.force_login(alice)
    answers = [
        api.get("/thing", headers={"X-Organization": name, "X-Request-Id": "same"})
        for name in (globex.pk, "org_" + "0" * 26, "nonsense", "")
    ]
    assert {refusal(answer) for answer in answers} == {(403, "permission_denied")}
    assert len({answer.content for answer in answers}) == 1


def test_who_belongs_nowhere_sees_nothing(api: Client, db: None):
    api.force_login(make_person("erin@example.com"))
    assert refusal(api.get("/thing")) == (403, "permission_denied")


def test_an_odd_mode_is_named(api: Client, alice: User):
    api.force_login(alice)
    response = api.get("/thing", headers={"X-Mode": "LIVE"})
    assert refusal(response) == (422, "validation_error")
    assert response.json()["errors"][0]["field"] == "X-Mode"


def test_who_was_turned_off_is_nobody(api: Client, alice: User):
    api.force_login(alice)
    User.objects.update(is_active=False)
    assert refusal(api.get("/thing")) == (401, "authentication_required")


def test_a_signed_in_person_gets_the_browsable_api(api: Client, alice: User):
    api.force_login(alice)
    response = api.get("/thing", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize(("role", "offered"), [(Role.MEMBER, True), (Role.VIEWER, False)])
def test_the_browsable_api_offers_only_what_the_role_allows(
    api: Client, acme: Organization, role: str, offered: bool
):
    api.force_login(make_person("dora@example.com", acme, role))
    page = api.get("/thing", headers={"Accept": "text/html"}).content.decode()
    assert ('name="_content"' in page) is offered


def test_a_program_with_a_session_gets_json(api: Client, alice: User):
    api.force_login(alice)
    assert api.get("/thing", headers={"Accept": "*/*"})["Content-Type"] == "application/json"


def test_a_session_costs_three_queries(
    api: Client, alice: User, django_assert_num_queries: DjangoAssertNumQueries
):
    """The session, the person, and the membership with its organization and plans."""
    api.force_login(alice)
    with django_assert_num_queries(3):
        assert api.get("/thing").status_code == 200


def test_e_mail_addresses_differ_by_more_than_case(alice: User):
    assert User.objects.get_by_natural_key(" Alice@Example.COM ") == alice
