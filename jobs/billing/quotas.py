"""The month's video seconds and the number of waiting jobs, counted under a lock of the organization.

Seconds are reserved when a job is created and settled when it ends: all of them when it succeeded,
the finished windows when it was canceled, none when it failed. Test mode settles likewise, at no cost and
outside of the month's quota.
"""

from datetime import UTC, date, datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.tenant import Tenant
from avatar_api.common.problems import Problem
from gpu_worker.contract.windows import FPS
from jobs.models import Job, MonthlyUsage
from jobs.states import Status


def reserve(*, tenant: Tenant, created_at: datetime, seconds: Decimal | None) -> Decimal:
    """Take a place in the queue, and in live mode the month's seconds.

    It is part of a transaction that has locked the organization.

    Args:
        tenant: Who asks.
        created_at: Of the job; its month counts.
        seconds: Length of the video; None while nobody knows it: then as many as it might have, of those
            that are left.

    Returns:
        The reserved seconds.

    Raises:
        Problem: `queue_full` or `quota_exceeded`; nothing is reserved then.
    """
    refuse_full_queue(tenant)
    if not tenant.livemode:
        return Decimal(tenant.limits.max_speech_seconds) if seconds is None else seconds
    month = month_of(created_at)
    usage, _ = MonthlyUsage.objects.get_or_create(organization=tenant.organization, month=month)
    left = _left(usage, tenant)
    if seconds is None:
        seconds = min(Decimal(tenant.limits.max_speech_seconds), left)
    refuse_beyond(seconds, left)
    MonthlyUsage.objects.filter(pk=usage.pk).update(reserved_seconds=F("reserved_seconds") + seconds)
    return seconds


def refuse_full_queue(tenant: Tenant) -> None:
    """Raises: Problem: `queue_full`."""
    jobs = Job.objects.for_organization(tenant.organization, livemode=tenant.livemode)
    allowed = tenant.limits.queued_jobs
    if jobs.filter(status=Status.QUEUED).count() >= allowed:
        raise Problem("queue_full", f"{allowed} jobs are already queued.", headers={"Retry-After": "30"})


def refuse_overload() -> None:
    """Look at all tenants' waiting jobs together, before anything is done for another one.

    It is no exact limit: of requests that come at once all may pass. It counts no further than the limit.

    Raises:
        Problem: `service_unavailable`.
    """
    waiting = Job.objects.filter(status=Status.QUEUED).order_by()[: settings.MAX_QUEUED_JOBS]
    if waiting.count() >= settings.MAX_QUEUED_JOBS:
        detail = "Too many jobs are queued at the moment."
        raise Problem("service_unavailable", detail, headers={"Retry-After": "30"})


def seconds_left(tenant: Tenant) -> Decimal:
    """What neither charges nor reservations have taken of the month."""
    month = month_of(timezone.now())
    usage = MonthlyUsage.objects.filter(organization=tenant.organization, month=month).first()
    return _left(usage or MonthlyUsage(), tenant)


def _left(usage: MonthlyUsage, tenant: Tenant) -> Decimal:
    used = usage.reserved_seconds + usage.charged_seconds
    return max(Decimal(0), tenant.limits.video_seconds_per_month - used)


def refuse_beyond(seconds: Decimal, left: Decimal) -> None:
    """Raises: Problem: `quota_exceeded`."""
    if seconds > left or not left:
        detail = f"{seconds:.1f} s of video were requested, but only {left:.1f} s are left this month."
        raise Problem("quota_exceeded", detail, headers={"Retry-After": str(seconds_to_next_month())})


def correct(job: Job, seconds: Decimal) -> None:
    """Reserve exactly `seconds`, which are no more than before; part of the caller's transaction."""
    if job.livemode:
        _months_of(job).update(reserved_seconds=F("reserved_seconds") - job.reserved_seconds + seconds)
    job.reserved_seconds = seconds


def settle(job: Job) -> Decimal:
    """Turn the job's reservation into its charge; part of the transaction in which it ends.

    Returns:
        The charged seconds.
    """
    charged = chargeable_seconds(job)
    if job.livemode:
        _months_of(job).update(
            reserved_seconds=F("reserved_seconds") - job.reserved_seconds,
            charged_seconds=F("charged_seconds") + charged,
        )
    return charged


def _months_of(job: Job) -> QuerySet[MonthlyUsage]:
    """The row of the month in which the job was created."""
    month = month_of(job.created_at)
    return MonthlyUsage.objects.filter(organization_id=job.organization_id, month=month)


def chargeable_seconds(job: Job) -> Decimal:
    if job.status == Status.SUCCEEDED:
        return Decimal(job.reserved_seconds)
    if job.status == Status.CANCELED:
        frames = sum(window.num_frames for window in job.window_plan[: len(job.window_prefixes)])
        return min(Decimal(frames) / FPS, job.reserved_seconds)
    return Decimal(0)


def month_of(moment: datetime) -> date:
    return moment.astimezone(UTC).date().replace(day=1)


def seconds_to_next_month() -> int:
    now = timezone.now().astimezone(UTC)
    first = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return int((first - now).total_seconds()) + 1
