"""What `/v1/usage` tells: jobs, seconds and cost of a period, by day or by key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.dateparse import parse_date

from accounts.tenant import Tenant
from avatar_api.common.faults import Faults
from avatar_api.common.problems import FieldError, invalid
from jobs.models import Job

GROUPS = ("day", "key")
MAX_DAYS = 366


@dataclass(frozen=True)
class UsageRow:
    """What was used on one day, or by one key; `day` or `key_id` is None accordingly."""

    day: date | None
    key_id: str | None
    jobs: int
    video_seconds: float
    gpu_seconds: float
    cost_usd: str


@dataclass(frozen=True)
class UsageReport:
    object: str
    start: date
    end: date
    group_by: str
    data: list[UsageRow]
    total: UsageRow


@dataclass(frozen=True)
class Period:
    """Whole days in UTC, both included."""

    start: date
    end: date


def read_period(params: Mapping[str, str]) -> Period:
    """`from` and `to`, by default from the first of this month until today.

    Raises:
        Problem: `validation_error` when they aren't dates, in the wrong order, or over a year apart.
    """
    today = timezone.now().astimezone(UTC).date()
    faults = Faults()
    with faults.gathered():
        end = _day("to", params, today)
    with faults.gathered():
        start = _day("from", params, min(today, end if not faults.errors else today).replace(day=1))
    faults.refuse()
    if not timedelta(0) <= end - start < timedelta(days=MAX_DAYS):
        raise invalid(FieldError("from", "invalid", "Must be 1 to 366 days before `to`."))
    return Period(start, end)


def _day(name: str, params: Mapping[str, str], default: date) -> date:
    if name not in params:
        return default
    try:
        value = parse_date(params[name])
    except ValueError:
        value = None
    if value is None or not date(2000, 1, 1) <= value <= date(9999, 1, 1):
        raise invalid(FieldError(name, "invalid", "Must be a date such as 2026-11-21."))
    return value


def read_group(params: Mapping[str, str]) -> str:
    """Raises: Problem: `validation_error` for anything but `day` and `key`."""
    group = params.get("group_by", "day")
    if group not in GROUPS:
        raise invalid(FieldError("group_by", "invalid", "Must be day or key."))
    return group


def report(tenant: Tenant, period: Period, group_by: str) -> UsageReport:
    """The tenant's usage by the day on which jobs were created, or by the key that created them."""
    begin = datetime.combine(period.start, time(), UTC)
    until = datetime.combine(period.end, time(), UTC) + timedelta(days=1)
    jobs = Job.objects.for_organization(tenant.organization, livemode=tenant.livemode).filter(
        created_at__gte=begin, created_at__lt=until
    )
    group = TruncDate("created_at", tzinfo=UTC) if group_by == "day" else F("api_key")
    sums: dict[str, Any] = {
        "jobs": Count("id"),
        "video_seconds": Sum("charged_seconds"),
        "gpu_seconds": Sum(F("gpu_seconds") + F("attempt_gpu_seconds")),
        "cost_usd": Sum("cost_usd"),
    }
    rows = jobs.annotate(group=group).values("group").annotate(**sums).order_by("group")
    data = [_row(dict(row), group_by) for row in rows]
    return UsageReport("usage", period.start, period.end, group_by, data, _total(data))


def _row(row: dict[str, Any], group_by: str) -> UsageRow:
    return UsageRow(
        day=row["group"] if group_by == "day" else None,
        key_id=row["group"] if group_by == "key" else None,
        jobs=row["jobs"],
        video_seconds=float(row["video_seconds"]),
        gpu_seconds=round(row["gpu_seconds"], 3),
        cost_usd=str(row["cost_usd"]),
    )


def _total(rows: list[UsageRow]) -> UsageRow:
    return UsageRow(
        day=None,
        key_id=None,
        jobs=sum(row.jobs for row in rows),
        video_seconds=sum(row.video_seconds for row in rows),
        gpu_seconds=round(sum(row.gpu_seconds for row in rows), 3),
        cost_usd=str(sum((Decimal(row.cost_usd) for row in rows), Decimal("0.000000"))),
    )
