"""The query of every request for one job."""

from functools import cache

from accounts.tenant import Tenant
from avatar_api.common import compiled_queries
from jobs.models import Job


def find(job_id: str, tenant: Tenant) -> Job | None:
    """The tenant's job, or None for an id that never was and for a stranger's alike."""
    found = compiled_queries.fetch(Job, statement(tenant.livemode), [tenant.organization.pk, job_id])
    return found[0] if found else None


@cache
def statement(livemode: bool) -> str:
    """The SQL with placeholders for the organization's id and the job's."""
    queryset = Job.objects.filter(organization="", livemode=livemode, pk="").order_by()
    return compiled_queries.sql_of(queryset)
