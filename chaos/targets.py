"""How soon lost attempts are noticed and free workers get a job, against what is promised of both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chaos import table
from chaos.drills import Drill
from chaos.idle_watch import IdleWatch, Wait
from chaos.table import percentile
from jobs.models import JobEvent

KNOWN_SECONDS = 15.0
SILENT_SECONDS = 75.0
IDLE_SECONDS = 1.0
SILENT = "silent"
LOOK_SECONDS = 0.1
"""What looking for free workers and waiting jobs takes, at most, on a machine that has time for it (p95)."""


@dataclass(frozen=True)
class Outage:
    """When control could neither hear workers nor send them anything."""

    begin: datetime
    end: datetime


@dataclass(frozen=True)
class Measured:
    """What the targets are held against, in seconds; the outages of the storm are left out.

    Attributes:
        known: Until lost attempts were noticed of which anything knew.
        silent: Until silent workers were given up, without the time in which Redis was away.
        idle: For which free workers waited for jobs that were there.
        look: What looking for such jobs took (p95).
    """

    known: Sequence[float]
    silent: Sequence[float]
    idle: Sequence[float]
    look: float

    @property
    def stretch(self) -> float:
        """How many times more this machine needs than one that has time for the stack."""
        return max(1.0, self.look / LOOK_SECONDS)


def measure(outages: Sequence[Outage], drills: Sequence[Drill], watch: IdleWatch) -> Measured:
    known: list[float] = []
    silent: list[float] = []
    for event in JobEvent.objects.filter(type="lost").exclude(job__in=[drill.job_id for drill in drills]):
        begin = event.created_at - timedelta(seconds=float(event.data["silent_seconds"]))
        seconds = seconds_without(outages, begin, event.created_at)
        (silent if event.data["reason"] == SILENT else known).append(seconds)
    for drill in drills:
        (silent if drill.reason == SILENT else known).append(drill.seconds - drill.redis_away)
    return Measured(known, silent, idle_seconds(outages, watch.waits), percentile(watch.looks, 95))


def idle_seconds(outages: Sequence[Outage], waits: Sequence[Wait]) -> list[float]:
    return [seconds_without(outages, wait.begin, wait.end) for wait in waits]


def seconds_without(outages: Sequence[Outage], begin: datetime, end: datetime) -> float:
    """From `begin` to `end`, without the time of any outage, which may overlap."""
    left, at = 0.0, begin
    for outage in sorted(outages, key=lambda outage: outage.begin):
        if outage.begin > at:
            left += max(0.0, (min(outage.begin, end) - at).total_seconds())
        at = max(at, outage.end)
    return left + max(0.0, (end - at).total_seconds())


def missed(measured: Measured) -> Iterator[str]:
    """A sentence for each target that was missed, on a machine as fast as this one was."""
    known, idle = percentile(measured.known, 95), percentile(measured.idle, 95)
    silent = max(measured.silent, default=0.0)
    if not (measured.known and measured.silent and measured.idle):
        yield "there was nothing to hold a target against"
    if known > KNOWN_SECONDS * measured.stretch:
        yield f"lost attempts that somebody knew of were noticed after {known:.1f} s (p95)"
    if silent > SILENT_SECONDS * measured.stretch:
        yield f"a silent worker was given up after {silent:.1f} s"
    if idle > IDLE_SECONDS * measured.stretch:
        yield f"free workers waited {idle:.1f} s for jobs that were there (p95)"


def show(measured: Measured) -> None:
    table.show(
        {
            "losses that somebody knew of": len(measured.known),
            "seconds until they were noticed, p95 (target 15)": f"{percentile(measured.known, 95):.1f}",
            "losses by silence": len(measured.silent),
            "seconds until they were noticed, most (target 75)": f"{max(measured.silent, default=0.0):.1f}",
            "times that a free worker waited for a job": len(measured.idle),
            "seconds until it was sent, p95 (target 1)": f"{percentile(measured.idle, 95):.2f}",
            "targets are stretched, for want of processor, by": f"{measured.stretch:.1f}",
        }
    )
