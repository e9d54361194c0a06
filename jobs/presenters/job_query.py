"""The query of every request for one job.

Django compiles a query anew each time, which for the columns of a job takes longer than to run it. So
the SQL of the queryset is made once.
"""

from functools import cache

from accounts.tenant import Tenant
from jobs.models import Job


def find(job_id: str, tenant: Tenant) -> Job | None:
    """The tenant's job, or None for an id that never was and for a stranger's alike."""
    rows = Job.objects.raw(statement(tenant.livemode), [tenant.organization.pk, job_id])
    return next(iter(rows), None)


@cache
def statement(livemode: bool) -> str:
    """The SQL with placeholders for the organization's id and the job's."""
    queryset = Job.objects.filter(organization="", livemode=livemode, pk="").order_by()
    sql: str = queryset.query.sql_with_params()[0]
    return sql
