"""The query of every request for one job, and what a list of them reads."""

from functools import cache

from accounts.tenant import Tenant
from avatar_api.common import compiled_queries
from jobs.models import Job

# Columns that no client is shown.
UNSHOWN = frozenset(
    {
        *(
            "api_key",
            "created_by",
            "request_id",
            "traceparent",
            "price_per_video_second_usd",
            "reserved_seconds",
        ),
        *("fetch_deadline", "fetch_leased_until", "num_frames", "retention_seconds", "token_hash"),
        *("dispatched_at", "attempt_started_at", "slice_ends_at", "cancel_requested_at", "step_prefix"),
        *("losses", "worker", "lease_missing_since"),
    }
)


def find(job_id: str, tenant: Tenant) -> Job | None:
    """The tenant's job, or None for an id that never was and for a stranger's alike."""
    found = compiled_queries.fetch(Job, statement(tenant.livemode), [tenant.organization.pk, job_id])
    return found[0] if found else None


def newest(tenant: Tenant, number: int) -> list[Job]:
    """The tenant's newest jobs, without what no client is shown."""
    sql = _statement_of_newest(tenant.livemode)
    return compiled_queries.fetch(Job, sql, [tenant.organization.pk, number], UNSHOWN)


@cache
def _statement_of_newest(livemode: bool) -> str:
    """The SQL with placeholders for the organization's id and how many there may be."""
    queryset = Job.objects.filter(organization="", livemode=livemode).order_by("-created_at", "-pk")
    return compiled_queries.sql_of(queryset.defer(*UNSHOWN)) + " LIMIT %s"


@cache
def statement(livemode: bool) -> str:
    """The SQL with placeholders for the organization's id and the job's."""
    queryset = Job.objects.filter(organization="", livemode=livemode, pk="").order_by()
    return compiled_queries.sql_of(queryset)
