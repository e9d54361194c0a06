"""What became of many jobs: by the day on which they were made, and by whose they are."""

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Aggregate, Count, DurationField, F, FloatField, Q, QuerySet, Sum
from django.db.models.functions import Cast, TruncDate

from gpu_worker.contract.engines import ON_GPU
from jobs.models import Job
from jobs.states import OPEN, Status


class Percentile(Aggregate):
    """A value that the given share of the rows doesn't pass."""

    function = "percentile_cont"
    template = "%(function)s(%(share)s) WITHIN GROUP (ORDER BY %(expressions)s)"

    def __init__(self, expression: Any, *, share: float, **extra: Any) -> None:
        super().__init__(expression, share=share, **extra)


def success(succeeded: int, failed: int) -> float | None:
    """The share of those that ended by themselves, in percent; None where none did."""
    ended = succeeded + failed
    return round(100 * succeeded / ended, 1) if ended else None


@dataclass(frozen=True)
class Day:
    """Jobs that were made on one day (UTC), by what became of them.

    Attributes:
        usual_wait: Seconds until a worker began, which half of them don't pass; None where none began.
        long_wait: Which 95 % don't pass.
    """

    day: date
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    open: int = 0
    usual_wait: float | None = None
    long_wait: float | None = None

    @property
    def success(self) -> float | None:
        return success(self.succeeded, self.failed)


@dataclass(frozen=True)
class Total:
    """What one organization's jobs came to.

    Attributes:
        video_seconds: Of those that succeeded.
        gpu_seconds: Of all, on GPUs alone.
    """

    name: str
    jobs: int
    succeeded: int
    failed: int
    video_seconds: float
    gpu_seconds: float
    charged_usd: float

    @property
    def success(self) -> float | None:
        return success(self.succeeded, self.failed)

    @property
    def gpu_usd(self) -> float:
        """What the operator paid for that."""
        return self.gpu_seconds * settings.GPU_USD_PER_SECOND


def by_day(jobs: QuerySet[Job], first: date, last: date) -> list[Day]:
    """Every day from `first` to `last`, those without jobs, too; `jobs` are of these days alone."""
    waited = F("started_at") - F("created_at")
    rows = (
        jobs.annotate(day=TruncDate("created_at", tzinfo=UTC))
        .values("day")
        .annotate(
            succeeded=Count("pk", filter=Q(status=Status.SUCCEEDED)),
            failed=Count("pk", filter=Q(status=Status.FAILED)),
            canceled=Count("pk", filter=Q(status=Status.CANCELED)),
            open=Count("pk", filter=Q(status__in=OPEN)),
            usual_wait=Percentile(waited, share=0.5, output_field=DurationField()),
            long_wait=Percentile(waited, share=0.95, output_field=DurationField()),
        )
    )
    known = {row["day"]: _day(dict(row)) for row in rows}
    days = [first + timedelta(number) for number in range((last - first).days + 1)]
    return [known.get(day, Day(day)) for day in days]


def _day(row: dict[str, Any]) -> Day:
    waits = {name: None if row[name] is None else round(row[name].total_seconds(), 2) for name in WAITS}
    return Day(**row | waits)


WAITS = ("usual_wait", "long_wait")


def by_organization(jobs: QuerySet[Job]) -> list[Total]:
    """All organizations that had any, those first that took most of the GPUs."""
    taken = F("gpu_seconds") + F("attempt_gpu_seconds")
    rows = (
        jobs.values("organization_id", name=F("organization__name"))
        .annotate(
            jobs=Count("pk"),
            succeeded=Count("pk", filter=Q(status=Status.SUCCEEDED)),
            failed=Count("pk", filter=Q(status=Status.FAILED)),
            video_seconds=_sum("reserved_seconds", filter=Q(status=Status.SUCCEEDED)),
            gpu_seconds=Sum(taken, filter=Q(engine__in=ON_GPU), default=0.0),
            charged_usd=_sum("cost_usd"),
        )
        .order_by("-gpu_seconds", "-jobs", "name")
    )
    return [_total(dict(row)) for row in rows]


def _total(row: dict[str, Any]) -> Total:
    del row["organization_id"]  # Two organizations may have one name.
    return Total(**row)


def _sum(field: str, **options: Any) -> Cast:
    return Cast(Sum(field, default=0, **options), FloatField())
