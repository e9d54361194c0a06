"""What a job shows is what the document describes, and a compiled query finds what a queryset would."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework import serializers

from accounts.limits import effective_limits
from accounts.models import Organization
from accounts.tenant import Tenant
from avatar_api.common import compiled_queries
from jobs.models import Job
from jobs.presenters import etags, job_query, job_resource
from jobs.presenters.serializers import JobSerializer
from jobs.scheduling.eta import LiveStatus
from jobs.states import Status
from tests import factories

pytestmark = pytest.mark.usefixtures("redis", "store")

VIDEO = {
    "duration_seconds": 4.0,
    "width": 640,
    "height": 640,
    "fps": 25,
    "size_bytes": 1,
    "sha256": "0" * 64,
}


@pytest.fixture
def ended(acme: Organization) -> list[Job]:
    now = timezone.now()
    times = {"started_at": now, "finished_at": now, "expires_at": now + timedelta(hours=6)}
    succeeded = factories.job(acme, status=Status.SUCCEEDED, attempt=1, output=VIDEO, **times)
    failed = factories.job(
        acme, status=Status.FAILED, error_code="timed_out", webhook_url="https://receiver.example/x", **times
    )
    return [succeeded, failed]


def test_every_field_that_is_described_is_there_and_no_other(acme: Organization, ended: list[Job]) -> None:
    for shown in job_resource.present_all([factories.job(acme), *ended], "https://api.example.com"):
        assert has_fields_of(JobSerializer(), dict(shown)), shown["status"]


def has_fields_of(described: serializers.Serializer, shown: dict[str, Any]) -> bool:
    nested = {
        name: field for name, field in described.fields.items() if isinstance(field, serializers.Serializer)
    }
    required = {name for name, field in described.fields.items() if field.required}
    return required <= shown.keys() <= described.fields.keys() and all(
        shown.get(name) is None or has_fields_of(field, shown[name]) for name, field in nested.items()
    )


def test_compiled_queries_find_what_a_queryset_finds(
    acme: Organization, ended: list[Job], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    jobs = Job.objects.for_organization(acme, livemode=False).order_by("-created_at", "-pk")
    expected = list(jobs[:5])
    with django_assert_num_queries(1):
        found = compiled_queries.fetch_list(jobs[:5])
        assert [vars(job).keys() for job in found] == [vars(job).keys() for job in expected]
        for mine, theirs in zip(found, expected, strict=True):
            for field in Job._meta.concrete_fields:
                assert getattr(mine, field.attname) == getattr(theirs, field.attname), field
    found[0].metadata = {"a": "b"}
    found[0].save()
    assert Job.objects.get(pk=found[0].pk).metadata == {"a": "b"}


def test_a_list_reads_the_columns_that_it_shows_and_no_others(
    acme: Organization, ended: list[Job], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def tag(job: Job) -> str:
        return etags.of_job(job_resource.describe(job, LiveStatus(), "https://api.example.com"))

    jobs = Job.objects.for_organization(acme, livemode=False).order_by("-created_at", "-pk")
    whole = [tag(job) for job in jobs[:5]]
    with django_assert_num_queries(1):
        found = compiled_queries.fetch_list(jobs.defer(*job_query.UNSHOWN)[:5])
        assert [tag(job) for job in found] == whole
    tenant = Tenant(acme, False, frozenset(), effective_limits(acme, livemode=False))
    with django_assert_num_queries(1):
        assert [tag(job) for job in job_query.newest(tenant, 5)] == whole
    unread = {Job._meta.get_field(name).attname for name in job_query.UNSHOWN}
    assert unread.isdisjoint(vars(found[0]))
