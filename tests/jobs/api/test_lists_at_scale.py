"""What lists cost with many rows: the planner's own choice, with statistics, in a table of many tenants."""

from datetime import timedelta
from functools import partial

import pytest
from django.http import QueryDict
from rest_framework.test import APIClient

from accounts.limits import effective_limits
from accounts.models import Organization
from accounts.tenant import Tenant
from avatar_api.common.pagination import page_of
from jobs.api.filters import filtered
from jobs.billing import usage
from jobs.models import Job
from tests import factories
from tests.jobs.query_plans import ENDED, copy_rows, rows_read

pytestmark = pytest.mark.usefixtures("redis", "store")

ROWS = 10_000


@pytest.fixture
def _many(acme: Organization) -> None:
    copy_rows(factories.job(acme), (ROWS, ENDED))


def show_page(query: str, acme: Organization) -> None:
    params = QueryDict(query)
    page_of(filtered(Job.objects.for_organization(acme, livemode=False), params), params, "job_.*")


@pytest.mark.usefixtures("_many")
def test_lists_and_usage_read_what_they_show(
    acme: Organization, acme_client: APIClient, subtests: pytest.Subtests
) -> None:
    middle = Job.objects.get(pk=f"job_{ROWS // 2:026}")
    before = middle.created_at.isoformat().replace("+00:00", "Z")
    next_page = acme_client.get("/v1/jobs", {"created_before": before, "limit": "2"}).json()["next_cursor"]
    for query in (
        "",
        f"cursor={next_page}",
        f"created_before={before}",
        "metadata[order]=17",
        "metadata[order]=nobody",
        "metadata[shop]=2",
        "metadata[shop]=2&metadata[order]=17",
        "status=canceled",
    ):
        with subtests.test(query):
            assert rows_read(partial(show_page, query, acme)) < 200
    with subtests.test("the usage of a day"):
        usage_reads_the_jobs_of_a_day_alone(acme)


def usage_reads_the_jobs_of_a_day_alone(acme: Organization) -> None:
    tenant = Tenant(acme, False, frozenset(), effective_limits(acme, livemode=False))
    day = Job.objects.order_by("-created_at")[0].created_at.date() - timedelta(days=3)
    report = partial(usage.report, tenant, usage.Period(day, day), "key")
    assert report().total.jobs == 24 * 60
    assert rows_read(report) == 24 * 60
