"""Which limits hold: the plan's, the organization's, the key's; and test mode's own."""

import dataclasses
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from pytest_django import DjangoAssertNumQueries

from accounts.limits import LIMIT_NAMES, Limits, effective_limits, explained_limits
from accounts.models import ApiKey, LimitOverrides, Organization, Plan
from tests.accounts.conftest import make_key

pytestmark = pytest.mark.django_db


def test_the_seeded_plans_are_there():
    assert set(Plan.objects.values_list("code", flat=True)) == {"free", "pro", "scale", "test"}


def test_files_are_kept_for_six_hours_unless_a_plan_says_otherwise():
    assert set(Plan.objects.values_list("retention_seconds", flat=True)) == {6 * 3600}
    assert Plan(code="new").retention_seconds == 6 * 3600


def test_plans_grow():
    free, pro, scale = (Plan.objects.get(code=code) for code in ("free", "pro", "scale"))
    for name in (
        "create_per_minute",
        "read_per_minute",
        "concurrent_jobs",
        "queued_jobs",
        "max_speech_seconds",
    ):
        assert getattr(free, name) < getattr(pro, name) < getattr(scale, name)


def test_limits_are_the_plans(acme: Organization):
    limits = effective_limits(acme)
    assert limits == Limits(
        create_per_minute=60,
        read_per_minute=600,
        concurrent_jobs=3,
        queued_jobs=100,
        video_seconds_per_month=36_000,
        max_speech_seconds=900,
        max_upload_bytes=100_000_000,
        resolutions=frozenset({"480p", "720p"}),
        presets=frozenset({"fast", "balanced"}),
        retention_seconds=21_600,
        price_per_video_second_usd=Decimal("0.03"),
        weight=4,
        active_keys=100,
        open_assets=200,
        open_asset_bytes=10_000_000_000,
        open_streams=200,
        open_uploads=64,
        consent_required=False,
    )


@pytest.mark.parametrize("name", LIMIT_NAMES)
def test_each_limit_is_overridable_by_organization_and_by_key(acme: Organization, name: str):
    plans = getattr(acme.plan, name)
    of_organization, of_key = (["480p"], []) if isinstance(plans, list) else (plans + 1, plans + 2)
    key = make_key(acme, livemode=True).row
    setattr(acme, name, of_organization)
    assert getattr(effective_limits(acme, key), name) == like(of_organization)
    setattr(key, name, of_key)
    assert getattr(effective_limits(acme, key), name) == like(of_key)
    assert getattr(effective_limits(acme), name) == like(of_organization)


def like(value: object) -> object:
    return frozenset(value) if isinstance(value, list) else value


def test_zero_is_a_value_and_not_the_lack_of_one(acme: Organization):
    acme.video_seconds_per_month = 0
    assert effective_limits(acme).video_seconds_per_month == 0


def test_test_mode_has_limits_of_its_own(acme: Organization):
    acme.read_per_minute = 7
    key = make_key(acme).row
    test = Plan.objects.get(code="test").read_per_minute
    assert effective_limits(acme, key).read_per_minute == test
    assert effective_limits(acme, livemode=False).read_per_minute == test
    key.read_per_minute = 8
    assert effective_limits(acme, key).read_per_minute == 8


def test_a_keys_mode_decides_whatever_else_is_said(acme: Organization):
    key = make_key(acme).row
    assert effective_limits(acme, key, livemode=True) == effective_limits(acme, livemode=False)


def test_each_limit_tells_where_it_comes_from(acme: Organization):
    key = make_key(acme, livemode=True).row
    acme.weight = key.queued_jobs = 9
    sources = {limit.name: limit.source for limit in explained_limits(acme, key)}
    assert (sources["weight"], sources["queued_jobs"], sources["presets"]) == ("organization", "key", "plan")


def test_every_limit_is_a_column_of_plans_organizations_and_keys():
    names = {field.name for field in dataclasses.fields(Limits)}
    assert names == {field.name for field in LimitOverrides._meta.get_fields()}
    for model in (Plan, Organization, ApiKey):
        assert names <= {field.name for field in model._meta.get_fields()}


def test_a_limit_of_no_requests_at_all_is_no_limit_an_operator_can_set():
    plan = Plan.objects.get(code="pro")
    plan.create_per_minute = 0
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        plan.full_clean()


def test_limits_cost_no_query_with_organization_and_plans_at_hand(
    acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
):
    found = Organization.objects.select_related("plan", "test_plan").get()
    with django_assert_num_queries(0):
        effective_limits(found)
        effective_limits(found, livemode=False)


def test_a_plan_in_use_is_not_deleted(acme: Organization):
    with pytest.raises(IntegrityError):
        acme.plan.delete()
