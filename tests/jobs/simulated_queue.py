"""Days of tenants, jobs and workers played through in a moment, by `jobs.scheduling.fair_queue`."""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jobs.scheduling.fair_queue import Candidate, Clock, Share, TenantKey, give_slices, renew_slices
from jobs.scheduling.simulation import Line, Piece, Queue, Running, blended_seconds_left

ROUND_SECONDS = 10.0
HAND_BACK_SECONDS = 2.0


@dataclass
class SimulatedJob:
    """A job: what it is said to take, and what it takes."""

    id: str
    tenant: TenantKey
    created: float
    expected: float
    work: float
    done: float = 0.0
    began: float | None = None
    ended: float | None = None
    yields: int = 0

    @property
    def expected_left(self) -> float:
        return blended_seconds_left(
            fraction=self.done / self.work, fraction_before=0.0, elapsed=self.done, expected=self.expected
        )


@dataclass
class Simulation:
    """Workers that render, a dispatcher that fills them, and rounds in which long renders yield."""

    workers: int
    shares: dict[TenantKey, Share]
    slice_seconds: float = 120.0
    now: float = 0.0
    clock: Clock = field(default_factory=Clock)
    waiting: dict[TenantKey, list[tuple[str, SimulatedJob]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    running: dict[str, SimulatedJob] = field(default_factory=dict)
    slice_ends: dict[str, float] = field(default_factory=dict)
    served: Counter[TenantKey] = field(default_factory=Counter)
    ended: list[SimulatedJob] = field(default_factory=list)

    def run(
        self,
        jobs: Iterable[SimulatedJob],
        until: float = float("inf"),
        watch: Callable[["Simulation"], None] = lambda simulation: None,
    ) -> None:
        """Play until all jobs have ended or the time has come; `watch` is called at every event."""
        arrivals = sorted(jobs, key=lambda job: job.created, reverse=True)
        next_round = self.now + ROUND_SECONDS
        self._dispatch()
        while (arrivals or self.running) and self.now < until:
            moments = [job.work - job.done + self.now for job in self.running.values()]
            self._go_to(min([next_round, *moments, *[job.created for job in arrivals[-1:]]]))
            while arrivals and arrivals[-1].created <= self.now:
                job = arrivals.pop()
                insort(self.waiting[job.tenant], (job.id, job))
            for job in [job for job in self.running.values() if job.work - job.done < 1e-6]:
                self._end(job)
            if self.now >= next_round:
                self._round()
                next_round += ROUND_SECONDS
            self._dispatch()
            watch(self)

    def queue(self, tenant: TenantKey) -> Queue:
        """What `jobs.scheduling.simulation` is told of it all."""
        others = {t: line for t, line in self.waiting.items() if line and t != tenant}
        return Queue(
            tenant=tenant,
            shown=frozenset(job_id for job_id, _ in self.waiting[tenant]) | self.running.keys(),
            workers=self.workers,
            slice_seconds=self.slice_seconds,
            clock=self.clock,
            shares=self.shares,
            own=tuple(Piece(job.id, job.expected_left) for _, job in self.waiting[tenant]),
            lines={
                t: Line(len(line), sum(j.expected_left for _, j in line), line[0][0])
                for t, line in others.items()
            },
            running=tuple(
                Running(job.tenant, Piece(job.id, job.expected_left)) for job in self.running.values()
            ),
        )

    def _go_to(self, moment: float) -> None:
        for job in self.running.values():
            job.done += moment - self.now
            self.served[job.tenant] += moment - self.now
        self.now = moment

    def _end(self, job: SimulatedJob) -> None:
        job.ended = self.now
        self.ended.append(job)
        del self.running[job.id]

    def _dispatch(self) -> None:
        places = self.workers - len(self.running)
        if not places:
            return
        lines = {t: [self._candidate(job) for _, job in line[:places]] for t, line in self.waiting.items()}
        active = Counter(job.tenant for job in self.running.values())
        for tenant, chosen in give_slices(self.clock, lines, self.shares, active, places):
            job = next(job for job_id, job in self.waiting[tenant] if job_id == chosen.job_id)
            self.waiting[tenant].remove((job.id, job))
            self.running[job.id] = job
            self.slice_ends[job.id] = self.now + self.slice_seconds
            job.began = self.now if job.began is None else job.began

    def _candidate(self, job: SimulatedJob, *, running: bool = False) -> Candidate:
        return Candidate(job.id, min(job.expected_left, self.slice_seconds), running)

    def _round(self) -> None:
        over = [job for job in self.running.values() if self.slice_ends[job.id] <= self.now]
        if not over:
            return
        lines: dict[TenantKey, list[Candidate]] = defaultdict(list)
        for job in sorted(over, key=lambda job: job.id):
            lines[job.tenant].append(self._candidate(job, running=True))
        for tenant, line in self.waiting.items():
            lines[tenant] += [self._candidate(job) for _, job in line[: len(over)]]
        active = Counter(job.tenant for job in self.running.values())
        active -= Counter(job.tenant for job in over)
        winners = renew_slices(self.clock, lines, self.shares, active, len(over))
        for job in over:
            if job.id in winners:
                self.slice_ends[job.id] = self.now + self.slice_seconds
            else:
                self._yield(job)

    def _yield(self, job: SimulatedJob) -> None:
        job.yields += 1
        job.done = max(0.0, job.done - HAND_BACK_SECONDS)
        del self.running[job.id]
        insort(self.waiting[job.tenant], (job.id, job))
