"""Who asks, as a key says it."""

from datetime import timedelta

import pytest
import time_machine
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import api_keys, services
from accounts.models import ApiKey, Organization, User
from tests.accounts.conftest import Key, make_key

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.accounts.views")]


def refusal(response: HttpResponse) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_a_bearer_key_is_let_in(api: Client, acme_key: Key, acme: Organization):
    body = api.get("/thing", headers=acme_key.headers).json()
    assert (body["organization"], body["key"], body["livemode"]) == (acme.pk, acme_key.row.pk, False)


def test_x_api_key_is_accepted_too(api: Client, acme_key: Key):
    assert api.get("/thing", headers={"X-API-Key": acme_key.text}).status_code == 200


def test_the_word_bearer_may_be_written_in_any_case(api: Client, acme_key: Key):
    assert api.get("/thing", headers={"Authorization": f"bearer {acme_key.text}"}).status_code == 200


def test_where_both_headers_come_authorization_decides(api: Client, acme_key: Key):
    wrong = api_keys.mint(livemode=False).key
    headers = {"Authorization": f"Bearer {wrong}", "X-API-Key": acme_key.text}
    assert refusal(api.get("/thing", headers=headers)) == (401, "invalid_api_key")


def test_a_live_key_sees_live_mode(api: Client, acme: Organization):
    assert api.get("/thing", headers=make_key(acme, livemode=True).headers).json()["livemode"] is True


def test_without_a_key_authentication_is_required(api: Client):
    response = api.get("/thing")
    assert refusal(response) == (401, "authentication_required")
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_key_never_works_in_the_query_string(api: Client, acme_key: Key):
    for name in ("key", "api_key", "access_token", "X-API-Key", "Authorization"):
        assert refusal(api.get(f"/thing?{name}={acme_key.text}")) == (401, "authentication_required")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer av_test_",
        "Bearer {key}x",
        "Bearer {key} {key}",
        "Basic {key}",
        "{key}",
        "Bearer \x7f",
        "Bearer ü",
        "Bearer av_test_000000000000_" + "0" * 49,
        "Bearer " + "a" * 7000,
    ],
)
def test_a_malformed_key_is_refused_without_a_query(
    api: Client, acme_key: Key, authorization: str, django_assert_num_queries: DjangoAssertNumQueries
):
    with django_assert_num_queries(0):
        response = api.get("/thing", headers={"Authorization": authorization.format(key=acme_key.text)})
    assert refusal(response) == (401, "invalid_api_key")
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_well_formed_key_that_was_never_minted_is_refused(api: Client, db: None):
    headers = {"Authorization": f"Bearer {api_keys.mint(livemode=False).key}"}
    assert refusal(api.get("/thing", headers=headers)) == (401, "invalid_api_key")


def forged(key: Key) -> str:
    """A key with the right id and checksum and another secret."""
    unsigned = f"{key.row.prefix}_{'0' * api_keys.RANDOM_LENGTH}"
    return unsigned + api_keys.checksum(unsigned)


def test_a_wrong_secret_is_refused(api: Client, acme_key: Key):
    headers = {"Authorization": f"Bearer {forged(acme_key)}"}
    assert refusal(api.get("/thing", headers=headers)) == (401, "invalid_api_key")


def test_a_revoked_key_is_refused(api: Client, acme_key: Key):
    services.revoke_key(api_key=acme_key.row)
    assert refusal(api.get("/thing", headers=acme_key.headers)) == (401, "api_key_revoked")


def test_an_expired_key_is_refused(api: Client, acme: Organization):
    key = make_key(acme, expires_at=timezone.now() + timedelta(hours=1))
    assert api.get("/thing", headers=key.headers).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(hours=1), tick=False):
        assert refusal(api.get("/thing", headers=key.headers)) == (401, "api_key_expired")


def test_who_does_not_know_the_secret_learns_nothing_of_a_keys_state(api: Client, acme_key: Key):
    services.revoke_key(api_key=acme_key.row)
    headers = {"Authorization": f"Bearer {forged(acme_key)}"}
    assert refusal(api.get("/thing", headers=headers)) == (401, "invalid_api_key")


def test_a_scope_that_is_missing_is_named(api: Client, acme: Organization):
    key = make_key(acme, scopes=frozenset({"jobs:read"}))
    assert api.get("/thing", headers=key.headers).status_code == 200
    response = api.post("/thing", {}, content_type="application/json", headers=key.headers)
    assert refusal(response) == (403, "permission_denied")
    assert "jobs:write" in response.json()["detail"]


def test_a_view_open_to_any_key_needs_no_scope(api: Client, acme: Organization):
    assert api.get("/open", headers=make_key(acme, scopes=frozenset()).headers).status_code == 200


def test_head_is_answered_where_get_is(api: Client, acme_key: Key):
    response = api.head("/thing", headers=acme_key.headers)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_a_method_that_is_not_offered_says_which_are(api: Client, acme_key: Key, method: str):
    response = getattr(api, method)("/thing", headers=acme_key.headers)
    assert refusal(response) == (405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD, POST"


def test_a_suspended_organization_is_refused_and_comes_back(api: Client, acme: Organization, acme_key: Key):
    services.suspend(organization=acme)
    assert refusal(api.get("/thing", headers=acme_key.headers)) == (403, "organization_suspended")
    services.resume(organization=acme)
    assert api.get("/thing", headers=acme_key.headers).status_code == 200


@pytest.mark.parametrize(
    "accept", ["text/html", "text/html,*/*;q=0.8", "*/*", "application/xml", "text/html;q=1, a/b", "nonsense"]
)
@pytest.mark.parametrize("path", ["/thing", "/thing?format=api", "/thing?format=xml"])
def test_a_key_is_answered_in_json_whatever_it_asks_for(api: Client, acme_key: Key, path: str, accept: str):
    response = api.get(path, headers={**acme_key.headers, "Accept": accept})
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_nobody_is_shown_html_without_a_session(api: Client, db: None):
    response = api.get("/thing", headers={"Accept": "text/html"})
    assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")


def test_a_media_type_that_is_not_offered_is_refused_to_a_person(api: Client, alice: User):
    api.force_login(alice)
    response = api.get("/thing", headers={"Accept": "application/xml"})
    assert refusal(response) == (406, "not_acceptable")
    assert response["RateLimit"].startswith('"read";')


def test_who_has_no_key_is_not_told_about_media_types(api: Client, db: None):
    assert refusal(api.get("/thing", headers={"Accept": "application/xml"})) == (
        401,
        "authentication_required",
    )


def test_answers_are_kept_out_of_shared_caches(api: Client, acme_key: Key):
    assert api.get("/thing", headers=acme_key.headers)["Cache-Control"] == "private, no-store"
    assert api.get("/open", headers=acme_key.headers)["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("livemode", [True, False])
def test_a_key_costs_one_query_limits_included(
    api: Client, acme: Organization, livemode: bool, django_assert_num_queries: DjangoAssertNumQueries
):
    key = make_key(acme, livemode=livemode)
    api.get("/thing", headers=key.headers)  # writes the last use, once a minute
    with django_assert_num_queries(1):
        assert api.get("/thing", headers=key.headers).status_code == 200


def test_the_secret_is_in_no_column(acme_key: Key):
    values = ApiKey.objects.filter(pk=acme_key.row.pk).values().get().values()
    assert acme_key.text[-49:] not in " ".join(map(str, values))


def test_the_secret_is_in_no_log_and_no_answer(
    api: Client, acme: Organization, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    key = make_key(acme, scopes=frozenset())
    answers = [
        api.get("/thing", headers=key.headers),
        api.get(f"/thing?key={key.text}", headers=key.headers),
        api.get("/thing", headers={"Authorization": f"Basic {key.text}"}),
        api.get("/thing", headers={"Authorization": f"Bearer {key.text}x"}),
    ]
    secret = key.text[-49:]
    assert all(secret not in answer.content.decode() for answer in answers)
    assert caplog.records
    assert all(secret not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("form", ["Token {key}", "Basic {key}", "{key}"])
def test_who_sends_the_key_in_another_form_is_told_how(api: Client, acme_key: Key, form: str):
    response = api.get("/thing", headers={"Authorization": form.format(key=acme_key.text)})
    assert "Authorization: Bearer" in response.json()["detail"]
    assert acme_key.text not in response.content.decode()
