"""What lists cost with many rows: the planner's own choice, with statistics, in a table of many tenants."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.limits import effective_limits
from accounts.models import Organization
from accounts.tenant import Tenant
from avatar_api.common.pagination import page_of
from jobs.api.filters import filtered
from jobs.billing import usage
from jobs.models import Job
from tests import factories

pytestmark = pytest.mark.usefixtures("redis", "store")

ROWS = 10_000

FILL = """
INSERT INTO jobs_job SELECT (jsonb_populate_record(job, jsonb_build_object(
    'id', 'job_' || lpad(number::text, 26, '0'),
    'created_at', job.created_at - number * interval '1 minute',
    'status', 'canceled', 'finished_at', job.created_at,
    'metadata', jsonb_build_object('order', number::text, 'shop', (number %% 3)::text)
))).* FROM jobs_job AS job, generate_series(1, %s) AS number WHERE job.id = %s
"""


@pytest.fixture
def _many(acme: Organization) -> None:
    row = factories.job(acme)
    with connection.cursor() as cursor:
        cursor.execute(FILL, [ROWS, row.pk])
        cursor.execute("ANALYZE jobs_job")


def plans(query: str, acme: Organization) -> list[dict]:
    """The plans of what a page of the list asks the database."""
    params = QueryDict(query)
    with CaptureQueriesContext(connection) as captured:
        page_of(filtered(Job.objects.for_organization(acme, livemode=False), params), params, "job_.*")
    return [explained(query["sql"]) for query in captured]


def explained(sql: str) -> dict:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}".replace("%", "%%"), ())
        found = cursor.fetchone()[0]
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def rows_read(plan: dict) -> int:
    """By all nodes that read the table, those that a filter threw away included."""
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if "Relation Name" in plan else 0
    return int(own) + sum(rows_read(child) for child in plan.get("Plans", ()))


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
            assert sum(map(rows_read, plans(query, acme))) < 200
    with subtests.test("the usage of a day"):
        usage_reads_the_jobs_of_a_day_alone(acme)


def usage_reads_the_jobs_of_a_day_alone(acme: Organization) -> None:
    tenant = Tenant(acme, False, frozenset(), effective_limits(acme, livemode=False))
    day = Job.objects.order_by("-created_at")[0].created_at.date() - timedelta(days=3)
    with CaptureQueriesContext(connection) as captured:
        counted = usage.report(tenant, usage.Period(day, day), "key").total.jobs
    assert counted == 24 * 60
    assert sum(rows_read(explained(query["sql"])) for query in captured) == counted
