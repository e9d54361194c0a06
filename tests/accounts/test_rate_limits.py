"""Requests per minute: exact, told in the headers, and no reason to fall over when Redis is away."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.db import connections
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts import rate_limits
from accounts.models import ApiKey, Organization, Plan
from tests.accounts.conftest import Key, make_key, make_person

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.accounts.views")]


@pytest.fixture
def limited_key(acme: Organization) -> Key:
    """A key that may read three times and create once a minute."""
    key = make_key(acme)
    ApiKey.objects.filter(pk=key.row.pk).update(read_per_minute=3, create_per_minute=1)
    return key


def get(api: Client, key: Key) -> HttpResponse:
    return api.get("/thing", headers=key.headers)


def test_every_answer_tells_policy_and_what_is_left(api: Client, limited_key: Key):
    for left in (2, 1, 0):
        response = get(api, limited_key)
        assert response.status_code == 200
        assert response["RateLimit-Policy"] == '"read";q=3;w=60'
        assert re.fullmatch(rf'"read";r={left};t=(60|59)', response["RateLimit"])


def test_beyond_the_limit_the_answer_says_when_to_come_back(api: Client, limited_key: Key):
    for _ in range(3):
        get(api, limited_key)
    response = get(api, limited_key)
    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert response.json()["retryable"] is True
    assert response["RateLimit"].startswith('"read";r=0;t=')
    assert response["Retry-After"] == response["RateLimit"].rpartition("=")[2]


def test_who_waits_as_long_as_told_is_let_in_again(api: Client, limited_key: Key):
    begin = timezone.now()
    with time_machine.travel(begin, tick=False):
        for _ in range(3):
            get(api, limited_key)
        wait = int(get(api, limited_key)["Retry-After"])
    with time_machine.travel(begin + timedelta(seconds=wait - 1), tick=False):
        assert get(api, limited_key).status_code == 429
    moment_on_the_wire = timedelta(milliseconds=1)
    with time_machine.travel(begin + timedelta(seconds=wait) + moment_on_the_wire, tick=False):
        assert get(api, limited_key).status_code == 200


def test_no_minute_whatever_sees_more_than_the_limit(api: Client, limited_key: Key):
    """A window that moves, unlike fixed ones, doesn't let a double burst through where two of them meet."""
    begin = timezone.now()
    passed = []
    for second in range(0, 180, 5):
        with time_machine.travel(begin + timedelta(seconds=second), tick=False):
            if get(api, limited_key).status_code == 200:
                passed.append(second)
    assert len(passed) == 9
    assert all(later - earlier >= 60 for earlier, later in zip(passed, passed[3:], strict=False))


def test_creating_and_reading_are_counted_apart(api: Client, limited_key: Key):
    for _ in range(4):
        get(api, limited_key)
    created = api.post("/thing", {}, content_type="application/json", headers=limited_key.headers)
    assert created.status_code == 200
    assert created["RateLimit-Policy"] == '"create";q=1;w=60'


def test_keys_are_counted_apart(api: Client, acme: Organization, limited_key: Key):
    for _ in range(4):
        get(api, limited_key)
    assert get(api, make_key(acme)).status_code == 200


@pytest.mark.parametrize("refusal", ["scope", "suspended", "method"])
def test_refused_requests_count_and_carry_the_headers_too(
    api: Client, acme: Organization, limited_key: Key, refusal: str
):
    if refusal == "suspended":
        Organization.objects.update(suspended_at=timezone.now())
    if refusal == "scope":
        ApiKey.objects.update(scopes=[])
    response = (
        api.patch("/thing", headers=limited_key.headers) if refusal == "method" else get(api, limited_key)
    )
    assert response.status_code in (403, 405)
    assert response["RateLimit"].startswith('"read";r=2;')


def test_people_are_counted_by_person_organization_and_mode(
    api: Client, acme: Organization, globex: Organization
):
    Plan.objects.filter(code__in=["pro", "test"]).update(read_per_minute=1)
    user = make_person("dora@example.com", acme)
    globex.memberships.create(user=user)
    api.force_login(user)
    for headers in ({}, {"X-Mode": "live"}, {"X-Organization": globex.pk}):
        assert api.get("/thing", headers=headers).status_code == 200
        assert api.get("/thing", headers=headers).status_code == 429


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_200_requests_at_once_against_a_limit_of_60_exactly_60_pass(acme: Organization):
    key = make_key(acme)
    ApiKey.objects.update(read_per_minute=60)

    def ask(_: int) -> int:
        try:
            return Client().get("/thing", headers=key.headers).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(40) as pool:
        statuses = Counter(pool.map(ask, range(200)))
    assert statuses == {200: 60, 429: 140}


@pytest.fixture
def redis_away(settings: Settings) -> Iterator[None]:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    rate_limits.limiter.cache_clear()
    yield
    rate_limits.limiter.cache_clear()


@pytest.mark.usefixtures("redis_away")
def test_without_redis_requests_pass_and_are_counted(
    api: Client, limited_key: Key, caplog: pytest.LogCaptureFixture
):
    before = rate_limits.unlimited_requests._value.get()
    for _ in range(5):
        response = get(api, limited_key)
        assert response.status_code == 200
    assert response["RateLimit-Policy"] == '"read";q=3;w=60'
    assert "RateLimit" not in response
    assert rate_limits.unlimited_requests._value.get() == before + 5
    assert "the rate limiter can't reach Redis" in caplog.text
