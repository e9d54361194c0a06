"""Whether what jobs are told about their end comes true, for a hundred simulated jobs at a time."""

import random
from collections import defaultdict

import pytest

from jobs.scheduling.fair_queue import Clock, Share, TenantKey
from jobs.scheduling.simulation import LOOKS, MOST_SLICES, Line, Piece, Queue, blended_seconds_left, predict
from tests.jobs.simulated_queue import SimulatedJob, Simulation

JOBS = 100
NOISE = 0.1


def tenants(chance: random.Random) -> dict[TenantKey, Share]:
    return {
        TenantKey(f"org{number}", livemode=True): Share(
            chance.choice([1, 1, 4, 16]), chance.choice([2, 3, 10])
        )
        for number in range(8)
    }


def hundred(chance: random.Random, of: list[TenantKey], workers: int, load: float) -> list[SimulatedJob]:
    """Jobs of half a minute for the most part, a tenth of them of 5 to 25; some tenants have more of them."""
    expected = [
        chance.lognormvariate(3.6, 0.8) if chance.random() > 0.1 else chance.uniform(300, 1500)
        for _ in range(JOBS)
    ]
    pause = sum(expected) / JOBS / workers / load
    created, jobs = 0.0, []
    for number, seconds in enumerate(expected):
        created += chance.expovariate(1 / pause)
        tenant = chance.choice(of[:3] if chance.random() < 0.5 else of)
        work = seconds * chance.lognormvariate(0, NOISE)
        jobs.append(SimulatedJob(f"job{number:03}", tenant, created, seconds, work))
    return jobs


def right_at_half_time(simulation: Simulation, jobs: list[SimulatedJob]) -> int:
    """How many jobs were told their end within a quarter, when half their time since creation was over."""
    told: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def listen(simulation: Simulation) -> None:
        for tenant in {job.tenant for job in jobs}:
            for job_id, seconds in predict(simulation.queue(tenant)).seconds.items():
                told[job_id].append((simulation.now, simulation.now + seconds))

    simulation.run(jobs, watch=listen)
    right = 0
    for job in jobs:
        assert job.ended is not None
        half = (job.created + job.ended) / 2
        _, end = [(moment, end) for moment, end in told[job.id] if moment <= half][-1]
        right += abs(end - job.ended) <= 0.25 * (job.ended - half)
    return right


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("workers", [4, 8])
def test_at_half_time_eighty_of_a_hundred_jobs_know_their_end_within_a_quarter(
    workers: int, seed: int
) -> None:
    """Jobs keep coming, four fifths of what the workers can do, and nobody knows of those to come."""
    chance = random.Random(seed)
    shares = tenants(chance)
    jobs = hundred(chance, list(shares), workers, 0.8)
    assert right_at_half_time(Simulation(workers, shares), jobs) >= 80


def test_so_do_a_hundred_that_came_at_once() -> None:
    chance = random.Random(1)
    shares = tenants(chance)
    jobs = hundred(chance, list(shares), 2, 1e6)
    assert right_at_half_time(Simulation(2, shares), jobs) >= 80


def test_places_are_those_in_which_jobs_begin_but_for_ties_between_tenants() -> None:
    chance = random.Random(1)
    shares = {tenant: Share(share.weight, 10) for tenant, share in tenants(chance).items()}
    of = list(shares)
    jobs = [SimulatedJob(f"job{number:03}", chance.choice(of), 0.0, 30.0, 30.0) for number in range(JOBS)]
    simulation = Simulation(1, shares)
    for job in jobs:
        simulation.waiting[job.tenant].append((job.id, job))
    told: dict[str, int] = {}
    for tenant in shares:
        told |= predict(simulation.queue(tenant)).positions
    simulation.run([])
    order = sorted(jobs, key=lambda job: job.began or 0.0)
    assert all(abs(told[job.id] - place) < len(shares) for place, job in enumerate(order, start=1))


def test_a_long_queue_is_reckoned_in_a_few_looks_and_comes_about_right() -> None:
    of = [TenantKey(f"org{number}", livemode=True) for number in range(40)]
    own = tuple(Piece(f"job{number:04}", 30.0) for number in range(500))
    queue = Queue(
        tenant=of[0],
        shown=frozenset({own[-1].job_id}),
        workers=4,
        slice_seconds=120.0,
        clock=Clock(),
        shares={tenant: Share(1, 10) for tenant in of},
        own=own,
        lines={tenant: Line(500, 500 * 30.0, "job0000") for tenant in of[1:]},
        running=(),
    )
    assert len(of) * MOST_SLICES > LOOKS
    told = predict(queue)
    assert told.positions[own[-1].job_id] == pytest.approx(500 * 40, rel=0.01)
    assert told.seconds[own[-1].job_id] == pytest.approx(500 * 40 * 30 / 4, rel=0.1)


class TestOneRender:
    @pytest.mark.parametrize(
        ("fraction", "elapsed", "left"),
        [(0.0, 0.0, 100.0), (0.5, 50.0, 50.0), (0.5, 100.0, 92.0), (0.9, 180.0, 19.0)],
        ids=["others_before", "as_expected", "half_as_fast", "its_own_pace"],
    )
    def test_the_time_left_comes_from_its_own_pace_as_far_as_it_has_one(
        self, fraction: float, elapsed: float, left: float
    ) -> None:
        found = blended_seconds_left(fraction=fraction, fraction_before=0.0, elapsed=elapsed, expected=100.0)
        assert found == pytest.approx(left, rel=0.01)

    def test_what_earlier_attempts_did_says_nothing_of_this_ones_pace(self) -> None:
        found = blended_seconds_left(fraction=0.6, fraction_before=0.5, elapsed=10.0, expected=100.0)
        assert found == pytest.approx(40.0)
