"""The month's video seconds and the number of waiting jobs, counted under a lock of the organization.

Seconds are reserved when a job is created and settled when it ends: all of them when it succeeded,
the finished windows when it was canceled, none when it failed. Test mode is free and isn't counted.
"""

from datetime import UTC, date, datetime
from decimal import Decimal

from django.db.models import F
from django.utils import timezone

from accounts.limits import Limits
from accounts.models import Organization
from avatar_api.common.problems import Problem
from gpu_worker.contract.windows import FPS, plan
from jobs.models import Job, MonthlyUsage
from jobs.states import Status


def reserve(*, organization: Organization, livemode: bool, seconds: Decimal, limits: Limits) -> None:
    """Take a place in the queue, and in live mode the month's seconds; part of the caller's transaction.

    Raises:
        Problem: `queue_full` or `quota_exceeded`; nothing is reserved then.
    """
    # Creations of one organization pass here one by one; other updates of its row needn't wait.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    waiting = Job.objects.for_organization(organization, livemode=livemode).filter(status=Status.QUEUED)
    if waiting.count() >= limits.queued_jobs:
        raise Problem(
            "queue_full", f"{limits.queued_jobs} jobs are waiting already.", headers={"Retry-After": "30"}
        )
    if livemode:
        _reserve_seconds(organization, seconds, limits.video_seconds_per_month)


def _reserve_seconds(organization: Organization, seconds: Decimal, quota: int) -> None:
    usage, _ = MonthlyUsage.objects.get_or_create(organization=organization, month=month_of(timezone.now()))
    left = quota - usage.reserved_seconds - usage.charged_seconds
    if seconds > left:
        detail = f"{seconds:.1f} s of video are asked for, {max(left, Decimal(0)):.1f} s are left this month."
        raise Problem("quota_exceeded", detail, headers={"Retry-After": str(seconds_to_next_month())})
    MonthlyUsage.objects.filter(pk=usage.pk).update(reserved_seconds=F("reserved_seconds") + seconds)


def settle(job: Job) -> Decimal:
    """Turn the job's reservation into its charge; part of the transaction in which it ends.

    Returns:
        The charged seconds.
    """
    if not job.livemode:
        return Decimal(0)
    charged = chargeable_seconds(job)
    MonthlyUsage.objects.filter(organization_id=job.organization_id, month=month_of(job.created_at)).update(
        reserved_seconds=F("reserved_seconds") - job.reserved_seconds,
        charged_seconds=F("charged_seconds") + charged,
    )
    return charged


def chargeable_seconds(job: Job) -> Decimal:
    if job.status == Status.SUCCEEDED:
        return Decimal(job.reserved_seconds)
    if job.status == Status.CANCELED:
        frames = sum(window.num_frames for window in plan(job.num_frames)[: len(job.window_prefixes)])
        return min(Decimal(frames) / FPS, job.reserved_seconds)
    return Decimal(0)


def month_of(moment: datetime) -> date:
    return moment.astimezone(UTC).date().replace(day=1)


def seconds_to_next_month() -> int:
    now = timezone.now().astimezone(UTC)
    first = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return int((first - now).total_seconds()) + 1
