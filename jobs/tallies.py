"""Counting the jobs that end, in the transaction in which they do: exactly once, whatever is repeated."""

from django.db import connection

from jobs.models import EndedJobs, Job

KIND = ("organization_id", "livemode", "engine", "preset", "resolution", "status", "error_code")
TOOK = ("jobs", "gpu_seconds", "charged_seconds", "cost_usd")


def count_end(job: Job) -> None:
    """Part of the transaction in which the job ends."""
    row = [getattr(job, name) for name in KIND] + [1, job.gpu_seconds, job.charged_seconds, job.cost_usd]
    with connection.cursor() as cursor:
        cursor.execute(UPSERT, row)


TABLE = EndedJobs._meta.db_table
# The ORM's upsert can replace what is there, but not add to it.
UPSERT = (
    f"INSERT INTO {TABLE} ({', '.join((*KIND, *TOOK))}) "  # noqa: S608  (names of this module alone)
    f"VALUES ({', '.join(['%s'] * len((*KIND, *TOOK)))}) ON CONFLICT ({', '.join(KIND)}) DO UPDATE SET "
    + ", ".join(f"{name} = {TABLE}.{name} + EXCLUDED.{name}" for name in TOOK)
)
