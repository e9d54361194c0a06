"""The compiled query finds what a queryset would find."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import key_lookup
from accounts.models import ApiKey, Organization
from tests.accounts.conftest import make_key

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("livemode", [True, False])
def test_every_column_of_key_organization_and_plan_is_as_a_queryset_has_it(
    acme: Organization, livemode: bool, django_assert_num_queries: DjangoAssertNumQueries
):
    Organization.objects.update(suspended_at=timezone.now(), resolutions=["480p"], weight=3)
    end = timezone.now() + timedelta(days=1)
    row = make_key(acme, livemode=livemode, expires_at=end, allowed_ips=["203.0.113.0/24"]).row
    ApiKey.objects.update(last_used_at=end, last_used_ip="2001:db8::1", price_per_video_second_usd="0.5")
    expected = ApiKey.objects.select_related("organization__plan", "organization__test_plan").get()
    with django_assert_num_queries(1):
        found = key_lookup.find(row.pk, livemode=livemode)
        assert found is not None
        organization = found.organization
        plan = organization.plan if livemode else organization.test_plan
    expected_plan = expected.organization.plan if livemode else expected.organization.test_plan
    for mine, theirs in ((found, expected), (organization, expected.organization), (plan, expected_plan)):
        assert type(mine) is type(theirs)
        for field in mine._meta.concrete_fields:
            assert getattr(mine, field.attname) == getattr(theirs, field.attname), field


def test_what_it_finds_can_be_saved(acme: Organization):
    found = key_lookup.find(make_key(acme).row.pk, livemode=False)
    assert found is not None
    found.name = "renamed"
    found.save()
    assert list(ApiKey.objects.values_list("name", flat=True)) == ["renamed"]


def test_an_id_that_never_was_finds_nothing(db: None):
    assert key_lookup.find("0" * 12, livemode=True) is None
