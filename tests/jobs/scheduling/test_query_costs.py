"""What requests cost the database: few queries, and none that grows with the table."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import Organization
from jobs.models import Job
from jobs.scheduling import queries
from tests import factories
from tests.jobs.clients import form

pytestmark = pytest.mark.usefixtures("redis", "store")


def test_a_job_is_created_with_thirteen_queries_at_most(
    acme_client: APIClient, portrait: bytes, speech: bytes
) -> None:
    acme_client.get("/v1/me")  # The key's last use is written, which happens once a minute.
    with CaptureQueriesContext(connection) as captured:
        response = acme_client.post("/v1/jobs", form(portrait, speech), headers={"idempotency-key": "a"})
    assert response.status_code == 202
    # Inside a test's transaction each transaction of ours is a savepoint.
    sent = [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]
    assert len(sent) <= 13, sent


def plan_of(jobs: object) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_incremental_sort = off")
        sql, params = jobs.query.sql_with_params()  # type: ignore[attr-defined]
        cursor.execute(f"EXPLAIN {sql}", params)
        return "\n".join(row[0] for row in cursor.fetchall())


def test_dispatch_finds_its_jobs_by_indexes_that_hold_no_others(acme: Organization) -> None:
    factories.job(acme)
    waiting = Job.objects.filter(queries.WAITING, engine="preview").order_by("organization", "livemode", "id")
    assert "Index Scan using job_next" in plan_of(waiting)
    at_work = Job.objects.filter(queries.ACTIVE).order_by("engine")
    assert "Index Scan using job_active" in plan_of(at_work)
