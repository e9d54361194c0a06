"""Charts of the admin's front page, as Chart.js wants them; unfold brings it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.metrics.statistics import Day, Total


@dataclass(frozen=True)
class Chart:
    """A chart of Chart.js: `kind`, `data` and `options` are its own, as JSON."""

    title: str
    kind: str
    data: str
    options: str


def charts_of(days: Sequence[Day]) -> list[Chart]:
    labels = [f"{day.day:%-d %b}" for day in days]
    return [jobs_chart(labels, days), wait_chart(labels, days), success_chart(labels, days)]


def charts_of_organizations(totals: Sequence[Total], *, with_costs: bool) -> list[Chart]:
    """None for one alone, and none where no GPU worked and nothing was charged, as in test mode."""
    if len(totals) == 1 or not any(total.gpu_seconds or total.charged_usd for total in totals):
        return []
    return [gpu_chart(totals), usd_chart(totals, with_costs=with_costs)]


def jobs_chart(labels: list[str], days: Sequence[Day]) -> Chart:
    data = [
        bars("Succeeded", [day.succeeded for day in days], "green-500"),
        bars("Failed", [day.failed for day in days], "red-500"),
        bars("Canceled", [day.canceled for day in days], "orange-400"),
        bars("Open", [day.open for day in days], "blue-400"),
    ]
    return chart("Jobs by day", "bar", labels, data, axes(stacked=True))


def wait_chart(labels: list[str], days: Sequence[Day]) -> Chart:
    data = [
        line("Half of them", [day.usual_wait for day in days], "blue-500"),
        line("95 %", [day.long_wait for day in days], "orange-500"),
    ]
    return chart("Seconds until a worker begins", "line", labels, data, axes())


def success_chart(labels: list[str], days: Sequence[Day]) -> Chart:
    data = [line("Succeeded", [day.success for day in days], "green-500")]
    return chart("Percent that succeeded", "line", labels, data, axes(maximum=100))


def gpu_chart(totals: Sequence[Total]) -> Chart:
    data = [bars("GPU hours", [round(total.gpu_seconds / 3600, 3) for total in totals], "blue-500")]
    return chart("GPU hours by organization", "bar", names_of(totals), data, axes(lying=True))


def usd_chart(totals: Sequence[Total], *, with_costs: bool) -> Chart:
    data = [bars("Charged", [round(total.charged_usd, 2) for total in totals], "green-500")]
    if with_costs:
        costs = [round(total.gpu_usd, 2) for total in totals]
        data.append(bars("GPU cost", costs, "orange-400"))
    return chart("USD by organization", "bar", names_of(totals), data, axes(lying=True))


def names_of(totals: Sequence[Total]) -> list[str]:
    return [total.name if len(total.name) <= 24 else f"{total.name[:23]}…" for total in totals]


def bars(label: str, values: Sequence[float], colour: str) -> dict[str, Any]:
    return {
        "label": label,
        "data": values,
        "backgroundColor": f"var(--color-{colour})",
        "maxBarThickness": 18,
    }


def line(label: str, values: Sequence[float | None], colour: str) -> dict[str, Any]:
    colour = f"var(--color-{colour})"
    style = {"borderWidth": 2, "pointRadius": 2, "tension": 0.2, "spanGaps": True, "clip": 8}
    return {"label": label, "data": values, "borderColor": colour, "backgroundColor": colour, **style}


def chart(
    title: str, kind: str, labels: list[str], data: list[dict[str, Any]], options: dict[str, Any]
) -> Chart:
    options["plugins"]["legend"]["display"] = len(data) > 1
    return Chart(title, kind, json.dumps({"labels": labels, "datasets": data}), json.dumps(options))


# Legible on light and dark alike; unfold itself recolours the grids.
TEXT = "#9ca3af"


def axes(*, stacked: bool = False, lying: bool = False, maximum: int | None = None) -> dict[str, Any]:
    """Options of Chart.js for all our charts: no animation, values from zero, whole labels."""
    ticks = {"color": TEXT, "maxRotation": 0, "autoSkipPadding": 12}
    values = {"beginAtZero": True, "stacked": stacked, "ticks": ticks, "grid": {"tickWidth": 0}}
    names = {"stacked": stacked, "ticks": ticks | {"autoSkip": not lying}, "grid": {"display": False}}
    if maximum is not None:
        values["max"] = maximum
    legend = {"align": "end", "labels": {"color": TEXT, "boxWidth": 8, "boxHeight": 8, "usePointStyle": True}}
    return {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "indexAxis": "y" if lying else "x",
        "interaction": {"mode": "index", "intersect": False, "axis": "y" if lying else "x"},
        "plugins": {"legend": legend},
        "scales": {"x": values, "y": names} if lying else {"x": names, "y": values},
    }
