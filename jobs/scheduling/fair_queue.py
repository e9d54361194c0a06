"""Whose job is next: start-time fair queueing between tenants, without a database.

Time is virtual. Each tenant has a finish tag, which every slice of a worker's time that it gets pushes on by
the slice's seconds over the tenant's weight. A slice starts at its tenant's finish tag, or at the start of
the newest slice of all where that is later: who has waited for nothing saves nothing up. The slice that
starts first is next. So of two tenants that always have jobs, one of twice the weight gets twice the seconds,
and no tenant ever is more than one slice ahead of who is served (Goyal, Vin and Cheng, "Start-time Fair
Queueing", SIGCOMM 1996).
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TenantKey:
    """Jobs are counted apart by organization and mode."""

    organization_id: str
    livemode: bool


@dataclass(frozen=True)
class Share:
    """What a tenant may have.

    Attributes:
        weight: Its share of the workers relative to other tenants.
        concurrent_jobs: How many of its jobs may be at work at once.
    """

    weight: int
    concurrent_jobs: int


@dataclass(frozen=True)
class Candidate:
    """A job that could have a slice.

    Attributes:
        seconds: How much of a worker's time the slice would take.
        running: Whether a worker has it already, so that it would just go on.
    """

    job_id: str
    seconds: float
    running: bool = False


@dataclass
class Clock:
    """The virtual time of one engine, in seconds of a worker for a tenant of weight 1.

    Attributes:
        now: Where the newest slice of all started.
        finishes: Where the last slice of each tenant ends.
        starts: How far each slice that was given here has pushed time, by tenant.
    """

    now: float = 0.0
    finishes: dict[TenantKey, float] = field(default_factory=dict)
    starts: dict[TenantKey, float] = field(default_factory=dict)

    def start_of_next(self, tenant: TenantKey, *, running: bool = False) -> float:
        """Where the tenant's next slice starts; one that goes on has waited for nothing."""
        finish = self.finishes.get(tenant, self.now)
        return finish if running else max(self.now, finish)

    def begin(
        self, tenant: TenantKey, weight: int, candidate: Candidate, waited_for: float = float("inf")
    ) -> None:
        """Give the tenant a slice; time doesn't go past `waited_for`, the start of one that is still due."""
        start = self.start_of_next(tenant, running=candidate.running)
        self.starts[tenant] = min(start, waited_for)
        self.now = max(self.now, self.starts[tenant])
        self.finishes[tenant] = start + candidate.seconds / weight

    def urgency(self, tenant: TenantKey, candidate: Candidate) -> tuple[float, bool, float, str]:
        """The least is next. At equal starts nobody is interrupted, and then who was served longest ago."""
        start = self.start_of_next(tenant, running=candidate.running)
        return start, not candidate.running, self.finishes.get(tenant, 0.0), candidate.job_id


def next_tenant(
    clock: Clock,
    heads: Mapping[TenantKey, Candidate],
    shares: Mapping[TenantKey, Share],
    active: Mapping[TenantKey, int],
) -> TenantKey | None:
    """Whose first job is next: none whose jobs at once are as many as they may be.

    Args:
        clock: Virtual time.
        heads: Each tenant's first job.
        shares: Of all those tenants.
        active: How many jobs each has at work.
    """
    eligible = (tenant for tenant in heads if active.get(tenant, 0) < shares[tenant].concurrent_jobs)
    return min(eligible, key=lambda tenant: clock.urgency(tenant, heads[tenant]), default=None)


def give_slices(
    clock: Clock,
    lines: Mapping[TenantKey, list[Candidate]],
    shares: Mapping[TenantKey, Share],
    active: Mapping[TenantKey, int],
    places: int,
) -> Iterator[tuple[TenantKey, Candidate]]:
    """Give away up to `places` slices, one after the other, and push the clock on.

    Args:
        clock: Virtual time, which is changed.
        lines: Each tenant's candidates in their order; those that run come first.
        shares: Of every tenant in `lines`.
        active: How many jobs each tenant has at work; those in `lines` aren't among them.
        places: How many slices there are.

    Yields:
        Whose slice it is, and for which of its jobs.
    """
    left = {tenant: deque(line) for tenant, line in lines.items() if line}
    counts = Counter(active)
    for _ in range(places):
        tenant = next_tenant(clock, {t: line[0] for t, line in left.items()}, shares, counts)
        if tenant is None:
            return
        candidate = left[tenant].popleft()
        if not left[tenant]:
            del left[tenant]
        counts[tenant] += 1
        clock.begin(tenant, shares[tenant].weight, candidate)
        yield tenant, candidate


def renew_slices(
    clock: Clock,
    lines: Mapping[TenantKey, list[Candidate]],
    shares: Mapping[TenantKey, Share],
    active: Mapping[TenantKey, int],
    places: int,
) -> set[str]:
    """Which of the running jobs in `lines` get another slice, the others having to yield to those that wait.

    The clock is pushed on for those alone. See `give_slices` for the arguments.

    Returns:
        Their ids.
    """
    trial = Clock(clock.now, dict(clock.finishes))
    winners, waited_for = [], float("inf")
    for tenant, candidate in give_slices(trial, lines, shares, active, places):
        if candidate.running:
            winners.append((tenant, candidate))
        else:
            waited_for = min(waited_for, trial.starts[tenant])
    for tenant, candidate in winners:
        clock.begin(tenant, shares[tenant].weight, candidate, waited_for)
    return {candidate.job_id for _, candidate in winners}
