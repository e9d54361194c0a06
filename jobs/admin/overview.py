"""The admin's front page: what became of the jobs of the last weeks, how long they waited, what they took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin_scope import is_operator, organizations_of
from accounts.scopes import Scope
from jobs.admin.charts import charts_of, charts_of_organizations
from jobs.metrics import statistics
from jobs.metrics.statistics import Day, Total
from jobs.models import Job
from jobs.states import Status

DAYS = 30
MOST_ORGANIZATIONS = 10
MODES = {"live": True, "test": False}

admin.site.index_template = "jobs/admin/overview.html"


@dataclass(frozen=True)
class Card:
    """One number at the top, and what more there is to say of it."""

    title: str
    number: str
    detail: str = ""


def add_to(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What unfold calls for the front page's context."""
    operator, mode = is_operator(request), chosen_mode(request)
    today = timezone.now().astimezone(UTC).date()
    first = today - timedelta(DAYS - 1)
    jobs = visible(request).filter(livemode=MODES[mode])
    recent = jobs.filter(created_at__gte=datetime.combine(first, time(), UTC))
    totals = statistics.by_organization(recent)
    days = statistics.by_day(recent, first, today) if totals else []
    shown = totals[:MOST_ORGANIZATIONS]
    return context | {
        "days": DAYS,
        "mode": mode,
        "modes": list(MODES),
        "cards": cards(jobs, days, totals, operator=operator) if totals else [],
        "charts": [charts_of(days), charts_of_organizations(shown, with_costs=operator)] if totals else [],
        "rows": [row(total, operator=operator) for total in shown],
        "columns": COLUMNS if operator else COLUMNS[:-1],
        "more": max(0, len(totals) - len(shown)),
    }


def chosen_mode(request: HttpRequest) -> str:
    """As requested; else live, unless there are only test jobs."""
    requested = request.GET.get("mode", "")
    if requested in MODES:
        return requested
    has = {mode: visible(request).filter(livemode=livemode).exists() for mode, livemode in MODES.items()}
    return "test" if has["test"] and not has["live"] else "live"


def visible(request: HttpRequest) -> QuerySet[Job]:
    """The jobs whose numbers the person may see."""
    jobs = Job.objects.order_by()
    if is_operator(request):
        return jobs
    return jobs.filter(organization__in=organizations_of(request, Scope.USAGE_READ))


# --- Numbers ---


def cards(jobs: QuerySet[Job], days: Sequence[Day], totals: Sequence[Total], *, operator: bool) -> list[Card]:
    succeeded, failed = sum(total.succeeded for total in totals), sum(total.failed for total in totals)
    waits = [day for day in days if day.usual_wait is not None]
    gpu_seconds = sum(total.gpu_seconds for total in totals)
    waiting = jobs.filter(status=Status.QUEUED).count()
    processing = jobs.filter(status=Status.PROCESSING).count()
    found = [
        Card(
            "Jobs",
            f"{sum(total.jobs for total in totals):,}",
            f"{waiting:,} wait, {processing:,} in work now",
        ),
        Card("Succeeded", percent(statistics.success(succeeded, failed)), f"{failed:,} failed"),
        Card("Video", hours(sum(total.video_seconds for total in totals)), f"of {succeeded:,} jobs"),
    ]
    if waits:
        last = waits[-1]
        detail = f"95 % within {duration(last.long_wait)}"
        found.append(Card(f"Wait, {last.day:%-d %b}", duration(last.usual_wait), detail))
    if gpu_seconds:
        cost = f"cost {usd(sum(total.gpu_usd for total in totals))}" if operator else ""
        found.append(Card("GPUs", hours(gpu_seconds), cost))
    if charged := sum(total.charged_usd for total in totals):
        found.append(Card("Charged", usd(charged)))
    return found


COLUMNS = ("Organization", "Jobs", "Succeeded", "Video", "GPUs", "Charged", "GPU cost")


def row(total: Total, *, operator: bool) -> list[str]:
    cells = [
        total.name,
        f"{total.jobs:,}",
        percent(total.success),
        hours(total.video_seconds),
        hours(total.gpu_seconds),
        usd(total.charged_usd),
    ]
    return [*cells, usd(total.gpu_usd)] if operator else cells


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1f} %"


def usd(amount: float) -> str:
    return f"${amount:,.2f}"


def hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.1f} min"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
