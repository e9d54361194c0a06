"""What a run has to say at its end."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from statistics import quantiles

from chaos.plan import Fault, Kind
from jobs.models import JobEvent
from jobs.states import Status
from launcher.terminal import say

PROGRESS = ("window", Status.SUCCEEDED)
WIDTH = 58


def recovery_seconds(ends: Sequence[datetime]) -> list[float]:
    """For each moment when a fault was over: how long it took until any job made progress again.

    Progress is a finished window or a finished video, as the database noted it. Faults after the last
    progress are left out: nothing was there to recover.
    """
    moments = sorted(JobEvent.objects.filter(type__in=PROGRESS).values_list("created_at", flat=True))
    found = []
    for end in ends:
        next_one = next((moment for moment in moments if moment > end), None)
        if next_one is not None:
            found.append((next_one - end).total_seconds())
    return found


def percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return max(values, default=0.0)
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def show_faults(made: Sequence[Fault]) -> None:
    counts = Counter(fault.kind for fault in made)
    say(f"\n  {'faults made':<{WIDTH}} {len(made):>6}")
    for kind in Kind:
        say(f"    {kind:<{WIDTH - 2}} {counts[kind]:>6}")


def show(rows: dict[str, object]) -> None:
    for name, value in rows.items():
        say(f"  {name:<{WIDTH}} {value:>6}")
