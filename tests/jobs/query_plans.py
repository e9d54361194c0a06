"""What Postgres would read for a query, in a table so large that its plan can only be one.

Everything happens in the test's own transaction: rows that nobody else sees and their statistics, which
autovacuum can't change meanwhile, since ANALYZE holds the table's lock until the transaction ends.
"""

import json
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import Job

COPY = """
INSERT INTO jobs_job SELECT (jsonb_populate_record(job, jsonb_build_object(
    'id', 'job_' || lpad(number::text, 26, '0'),
    'created_at', job.created_at - number * interval '1 minute',
    'metadata', jsonb_build_object('order', number::text, 'shop', (number %% 3)::text)
) || %s::jsonb)).* FROM jobs_job AS job, generate_series(%s, %s) AS number WHERE job.id = %s
"""
ENDED = {"status": "canceled", "finished_at": "2026-01-01T00:00:00Z"}


def copy_rows(job: Job, *parts: tuple[int, dict[str, Any]]) -> None:
    """So many rows like this one for each part, with its fields; numbered from 1, each a minute older."""
    last = 0
    with connection.cursor() as cursor:
        for number, fields in parts:
            columns = {Job._meta.get_field(name).column: value for name, value in fields.items()}
            cursor.execute(COPY, [json.dumps(columns), last + 1, last + number, job.pk])
            last += number
        cursor.execute("ANALYZE jobs_job")


def rows_read(action: Callable[[], Any]) -> int:
    """The rows of tables that the queries of `action` read, thrown away by a filter or not."""
    with CaptureQueriesContext(connection) as captured:
        action()
    return sum(_rows_of(_explained(query["sql"])) for query in captured)


def _explained(sql: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}".replace("%", "%%"), ())
        found = cursor.fetchone()[0]
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def _rows_of(plan: dict[str, Any]) -> int:
    own = 0
    if "Relation Name" in plan:
        own = plan["Actual Loops"] * (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))
    return int(own) + sum(_rows_of(child) for child in plan.get("Plans", ()))
