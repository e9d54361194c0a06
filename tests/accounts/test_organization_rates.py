"""More keys don't mean more requests: an organization's keys share its rate in each mode."""

import pytest
from django.test import Client

from accounts.models import ApiKey, Organization, Plan
from tests.accounts.conftest import make_key

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.accounts.views")]


@pytest.fixture(autouse=True)
def _three_a_minute(acme: Organization):
    Plan.objects.update(read_per_minute=3)


def test_ten_keys_have_the_rate_of_one(api: Client, acme: Organization):
    statuses = [api.get("/thing", headers=make_key(acme).headers).status_code for _ in range(10)]
    assert statuses == [200] * 3 + [429] * 7


def test_the_headers_tell_what_is_left_for_all_of_them(api: Client, acme: Organization):
    api.get("/thing", headers=make_key(acme).headers)
    assert '"read";r=1;' in api.get("/thing", headers=make_key(acme).headers)["RateLimit"]


def test_the_modes_and_other_organizations_are_counted_apart(
    api: Client, acme: Organization, globex: Organization
):
    for key in (make_key(acme), make_key(acme, livemode=True), make_key(globex)):
        assert [api.get("/thing", headers=key.headers).status_code for _ in range(3)] == [200] * 3


def test_a_key_with_a_higher_rate_of_its_own_may_use_it(api: Client, acme: Organization):
    key = make_key(acme)
    ApiKey.objects.update(read_per_minute=5)
    assert [api.get("/thing", headers=key.headers).status_code for _ in range(6)] == [200] * 5 + [429]
