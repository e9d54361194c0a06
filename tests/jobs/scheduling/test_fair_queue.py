"""Hours of a queue played through: what each tenant gets of the workers, and how long it waits."""

import random

import pytest

from jobs.scheduling.fair_queue import Candidate, Clock, Share, TenantKey, give_slices
from tests.jobs.simulated_queue import ROUND_SECONDS, SimulatedJob, Simulation

ALICE, BOB, CHARLIE = (TenantKey(name, livemode=True) for name in ("alice", "bob", "charlie"))
UNLIMITED = 1000
SLICE = 120.0


def shares(**weights: int) -> dict[TenantKey, Share]:
    return {TenantKey(name, livemode=True): Share(weight, UNLIMITED) for name, weight in weights.items()}


def many(
    tenant: TenantKey, number: int, seconds: float, *, created: float = 0.0, prefix: str = "job"
) -> list[SimulatedJob]:
    return [SimulatedJob(f"{prefix}{count:05}", tenant, created, seconds, seconds) for count in range(number)]


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("seconds", [(30, 30), (7, 45), (30, 4000)], ids=["alike", "short_long", "renders"])
def test_who_always_has_jobs_gets_workers_by_weight(workers: int, seconds: tuple[float, float]) -> None:
    simulation = Simulation(workers, shares(alice=1, bob=3))
    jobs = many(ALICE, 2000, seconds[0]) + many(BOB, 2000, seconds[1])
    simulation.run(jobs, until=8 * 3600 / workers)
    assert simulation.served[BOB] / simulation.served[ALICE] == pytest.approx(3, rel=0.05)


def test_a_tenant_kept_back_by_its_limit_leaves_the_rest_to_others() -> None:
    limited = {ALICE: Share(1, 2), BOB: Share(1, UNLIMITED)}
    simulation = Simulation(8, limited)
    simulation.run(many(ALICE, 2000, 30) + many(BOB, 2000, 30), until=3600)
    assert simulation.served[ALICE] == pytest.approx(2 * 3600, rel=0.02)
    assert simulation.served[BOB] == pytest.approx(6 * 3600, rel=0.02)


def test_one_job_beside_a_thousand_starts_next() -> None:
    simulation = Simulation(1, shares(alice=1, bob=1))
    one = SimulatedJob("one", BOB, 1000.0, 30.0, 30.0)
    simulation.run([*many(ALICE, 1000, 30), one], until=1100)
    assert one.began == 1020.0


@pytest.mark.parametrize("workers", [1, 4])
def test_nobody_waits_longer_than_for_a_slice_of_each_who_came_before(workers: int) -> None:
    """Eight tenants with renders of an hour, and a ninth with a short job now and then."""
    others = {TenantKey(f"tenant{number}", livemode=True): Share(1, UNLIMITED) for number in range(8)}
    simulation = Simulation(workers, others | shares(alice=1), slice_seconds=SLICE)
    short = [SimulatedJob(f"short{i}", ALICE, 1800.0 * i + 77, 20.0, 20.0) for i in range(1, 10)]
    long = [job for tenant in others for job in many(tenant, 50, 3600, prefix=tenant.organization_id)]
    simulation.run([*long, *short], until=20000)
    waits = [job.began - job.created for job in short if job.began is not None]
    assert len(waits) == len(short)
    assert max(waits) <= SLICE + ROUND_SECONDS


def test_yielding_costs_little_and_only_while_others_wait() -> None:
    simulation = Simulation(2, shares(alice=1, bob=1, charlie=1))
    renders = many(ALICE, 1, 3600, prefix="a") + many(BOB, 1, 3600, prefix="b")
    simulation.run(renders)
    assert [job.yields for job in renders] == [0, 0]
    renders = [job for of in (ALICE, BOB, CHARLIE) for job in many(of, 1, 3600, prefix=of.organization_id)]
    simulation.run(renders)
    assert simulation.now < 3600 + 1.05 * 3 * 3600 / 2
    assert max(job.yields for job in renders) <= 3600 / SLICE


def test_no_tenant_is_ever_served_a_slice_more_than_another_of_its_weight_that_waits() -> None:
    """The bound that the scheme is known for, over random jobs."""
    chance = random.Random(7)
    of = shares(alice=1, bob=1, charlie=2)
    clock, served = Clock(), dict.fromkeys(of, 0.0)
    for number in range(2000):
        lines = {tenant: [Candidate(f"{number}", chance.uniform(1, SLICE))] for tenant in of}
        ((tenant, candidate),) = give_slices(clock, lines, of, {}, 1)
        served[tenant] += candidate.seconds / of[tenant].weight
        assert max(served.values()) - min(served.values()) <= 2 * SLICE
