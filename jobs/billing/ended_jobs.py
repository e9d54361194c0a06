"""Counting the jobs that end, in the transaction in which they do: exactly once, whatever is repeated."""

from django.db import connection, transaction

from jobs.models import EndedJobs, Job

KIND = ("organization_id", "livemode", "engine", "preset", "resolution", "status", "error_code")
TOOK = ("jobs", "gpu_seconds", "charged_seconds", "cost_usd")


def count_end(job: Job) -> None:
    """Part of the transaction in which the job ends."""
    row = [getattr(job, name) for name in KIND] + [1, job.gpu_seconds, job.charged_seconds, job.cost_usd]
    with connection.cursor() as cursor:
        cursor.execute(UPSERT, row)


@transaction.atomic
def anonymize(organization_id: str) -> None:
    """Keep what an organization's jobs took, and forget whose they were."""
    with connection.cursor() as cursor:
        cursor.execute(MOVE, [organization_id])
    EndedJobs.objects.filter(organization_id=organization_id).delete()


TABLE = EndedJobs._meta.db_table
# The ORM's upsert can replace what is there, but not add to it.
INSERT = f"INSERT INTO {TABLE} ({', '.join((*KIND, *TOOK))})"
ADD = f"ON CONFLICT ({', '.join(KIND)}) DO UPDATE SET " + ", ".join(
    f"{name} = {TABLE}.{name} + EXCLUDED.{name}" for name in TOOK
)
UPSERT = f"{INSERT} VALUES ({', '.join(['%s'] * len((*KIND, *TOOK)))}) {ADD}"
MOVE = (
    f"{INSERT} SELECT '', {', '.join((*KIND[1:], *TOOK))} "  # noqa: S608  (names of this module alone)
    f"FROM {TABLE} WHERE organization_id = %s {ADD}"
)
