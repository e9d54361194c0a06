"""How many jobs start before a job, and when it will have ended, if nothing else came.

The rules of `jobs.scheduling.fair_queue` are simulated, up to a limit. Of other tenants no more is known
than how many jobs wait and what they take together, so all of one tenant's take equally long here.
"""

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from itertools import count
from math import ceil

from jobs.scheduling.fair_queue import Candidate, Clock, Share, TenantKey, next_tenant

# A simulation looks at every tenant for every slice. So many looks take some milliseconds; what comes later
# is extrapolated.
LOOKS = 4000
MOST_SLICES = 200
FEWEST_SLICES = 20
# What is expected of a job counts as much as a tenth of it that was seen.
TRUST = 0.1


@dataclass(frozen=True)
class Piece:
    """A job and what it has left of a worker's time.

    Attributes:
        begun: Whether a worker had it before.
    """

    job_id: str
    seconds: float
    begun: bool = False


@dataclass(frozen=True)
class Running:
    """A job in the hands of a worker."""

    tenant: TenantKey
    piece: Piece


@dataclass(frozen=True)
class Line:
    """A tenant's jobs that wait for an engine, in their order, those that are alike together.

    Attributes:
        number: How many they are.
        seconds: What they take of a worker's time, all together.
        oldest: The first one's id.
    """

    number: int
    seconds: float
    oldest: str

    def pieces(self) -> list[Piece]:
        return [Piece(self.oldest, self.seconds / self.number)] * self.number


@dataclass(frozen=True)
class Queue:
    """An engine at one moment, as one tenant sees it.

    Attributes:
        shown: The ids of those of the tenant's jobs that it asks for.
        workers: How many there are.
        slice_seconds: After so long a render yields to those that wait.
        own: The tenant's jobs that wait, one by one, the oldest first.
        lines: Those of others.
        running: All that are at work.
        sent: All that were sent to workers and that none has begun.
    """

    tenant: TenantKey
    shown: frozenset[str]
    workers: int
    slice_seconds: float
    clock: Clock
    shares: Mapping[TenantKey, Share]
    own: tuple[Piece, ...]
    lines: Mapping[TenantKey, Line]
    running: tuple[Running, ...]
    sent: tuple[Running, ...] = ()


@dataclass
class Prediction:
    """What comes of the jobs that are shown, and of some others.

    Attributes:
        positions: Their places among those that wait, by id.
        seconds: Until they will have ended, by id.
    """

    positions: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def blended_seconds_left(
    *, fraction: float, fraction_before: float, elapsed: float, expected: float
) -> float:
    """What a render has left, from its own pace as far as it has one, and from others' before.

    Args:
        fraction: How much of the job is done, 0–1.
        fraction_before: How much was done when this attempt began.
        elapsed: Seconds since this attempt began.
        expected: Seconds that the whole job was expected to take.
    """
    done = max(0.0, fraction - fraction_before)
    return (1 - fraction) * (elapsed + TRUST * expected) / (done + TRUST)


def predict(queue: Queue) -> Prediction:
    """What comes of the jobs that are shown."""
    return simulated(queue).result(queue.shown)


def simulated(queue: Queue) -> "Simulation":
    """The simulation at its end, which can tell of any of the jobs that are shown."""
    simulation = Simulation(queue)
    limit = min(MOST_SLICES, max(FEWEST_SLICES, LOOKS // (1 + len(queue.lines))))
    while simulation.is_open and simulation.slices < limit and simulation.advance():
        pass
    return simulation


class Simulation:
    """Dispatch, simulated.

    Attributes:
        slices: How many were given.
    """

    def __init__(self, queue: Queue) -> None:
        self.slices = 0
        self._queue = queue
        self._clock = Clock(queue.clock.now, dict(queue.clock.finishes))
        self._lines = {tenant: deque(line.pieces()) for tenant, line in queue.lines.items()}
        if queue.own:
            self._lines[queue.tenant] = deque(queue.own)
        self._sent = deque(queue.sent)
        self._heads = {tenant: self._candidate(line[0]) for tenant, line in self._lines.items()}
        self._active = Counter(running.tenant for running in (*queue.running, *queue.sent))
        self._now = 0.0
        self._started = 0
        self._ends: list[tuple[float, int, Running]] = []
        self._order = count()
        at_work = [job.piece for job in (*queue.running, *queue.sent)]
        self._open = {piece.job_id for piece in (*queue.own, *at_work)} & queue.shown
        self._result = Prediction()
        for running in queue.running:
            self._work(running)

    @property
    def is_open(self) -> bool:
        return bool(self._open)

    def advance(self) -> bool:
        """Fill the workers, and go to the end of the next slice; False when nothing moves any more."""
        while len(self._ends) < self._queue.workers and self._start_next():
            pass
        if not self._ends:
            return False  # Those that wait are kept back by their limits.
        self._now, _, running = heapq.heappop(self._ends)
        self._active[running.tenant] -= 1
        left = running.piece.seconds - self._queue.slice_seconds
        if left <= 0:
            self._end(running)
        else:
            self._compete(Running(running.tenant, Piece(running.piece.job_id, left, begun=True)))
        return True

    def result(self, shown: frozenset[str]) -> Prediction:
        """What was simulated of these jobs, and for the rest what it makes likely."""
        result = Prediction(
            {job_id: place for job_id, place in self._result.positions.items() if job_id in shown},
            {job_id: seconds for job_id, seconds in self._result.seconds.items() if job_id in shown},
        )
        left = self._open & shown
        for _, _, running in self._ends:
            if running.piece.job_id in left:
                result.seconds[running.piece.job_id] = self._now + running.piece.seconds
        if left:
            self._extrapolate(left, result)
        return result

    def _extrapolate(self, left: Set[str], result: Prediction) -> None:
        places = positions(replace(self._queue, shown=frozenset(left)))
        for piece in self._lines.get(self._queue.tenant, ()):
            if piece.job_id not in left:
                continue
            place = max(self._started + 1, places.get(piece.job_id, 0))
            place = result.positions.setdefault(piece.job_id, place)
            later = self._now * max(1.0, place / max(1, self._started))
            result.seconds[piece.job_id] = later + piece.seconds

    def _start_next(self) -> bool:
        if self._sent:
            running = self._sent.popleft()
            self._count_start(running)
            self._work(running)
            return True
        tenant = self._next(self._heads)
        if tenant is None:
            return False
        running = Running(tenant, self._lines[tenant].popleft())
        self._update_head(tenant)
        self._count_start(running)
        self._begin(running, going_on=False)
        return True

    def _count_start(self, running: Running) -> None:
        """Whoever yields and begins again was counted before."""
        if running.piece.begun:
            return
        self._started += 1
        if running.tenant == self._queue.tenant:
            self._result.positions[running.piece.job_id] = self._started

    def _compete(self, running: Running) -> None:
        """A slice is over: it goes on, or yields to who has the next one before it."""
        heads = self._heads | {running.tenant: self._candidate(running.piece, going_on=True)}
        if self._next(heads) == running.tenant:
            self._begin(running, going_on=True)
        else:
            self._lines.setdefault(running.tenant, deque()).appendleft(running.piece)
            self._update_head(running.tenant)

    def _begin(self, running: Running, *, going_on: bool) -> None:
        candidate = self._candidate(running.piece, going_on=going_on)
        self._clock.begin(running.tenant, self._queue.shares[running.tenant].weight, candidate)
        self._active[running.tenant] += 1
        self.slices += 1
        self._work(running)

    def _work(self, running: Running) -> None:
        ends = self._now + min(running.piece.seconds, self._queue.slice_seconds)
        heapq.heappush(self._ends, (ends, next(self._order), running))

    def _end(self, running: Running) -> None:
        if running.piece.job_id in self._open:
            self._open.discard(running.piece.job_id)
            self._result.seconds[running.piece.job_id] = self._now

    def _next(self, heads: Mapping[TenantKey, Candidate]) -> TenantKey | None:
        return next_tenant(self._clock, heads, self._queue.shares, self._active)

    def _update_head(self, tenant: TenantKey) -> None:
        """See who is first in a line that has changed."""
        if self._lines[tenant]:
            self._heads[tenant] = self._candidate(self._lines[tenant][0])
        else:
            del self._lines[tenant]
            self._heads.pop(tenant, None)

    def _candidate(self, piece: Piece, *, going_on: bool = False) -> Candidate:
        return Candidate(piece.job_id, min(piece.seconds, self._queue.slice_seconds), going_on)


def positions(queue: Queue) -> dict[str, int]:
    """The places of jobs that are shown, computed: others are a fluid, and there are no limits."""
    found, start = {}, queue.clock.start_of_next(queue.tenant)
    weight = queue.shares[queue.tenant].weight if queue.own else 1
    for number, piece in enumerate(queue.own):
        if piece.job_id in queue.shown:
            before = sum(_started_before(queue, tenant, start) for tenant in queue.lines)
            found[piece.job_id] = 1 + len(queue.sent) + number + before
        start += piece.seconds / weight
    return found


def _started_before(queue: Queue, tenant: TenantKey, moment: float) -> int:
    """How many of another tenant's jobs start before a moment of virtual time."""
    line = queue.lines[tenant]
    turns = (moment - queue.clock.start_of_next(tenant)) * queue.shares[tenant].weight * line.number
    return min(line.number, max(0, ceil(turns / line.seconds))) if line.seconds else line.number
