"""How many wakes are missing."""

from dataclasses import dataclass

from gpu_worker.contract.engines import WAKEABLE
from jobs.models import Job
from jobs.scheduling import dispatch
from jobs.scheduling.autoscaling.runpod import Health
from jobs.states import Status


@dataclass(frozen=True)
class Demand:
    """Jobs for the GPU.

    Attributes:
        waiting: Those that a worker could take if it were there; no more are counted than there may be
            workers, and none that its tenant's limits keep back.
        rendering: Those in the hands of a worker, as far as was reported.
    """

    waiting: int
    rendering: int


def demand(most: int) -> Demand:
    """What Postgres says; of jobs not yet dispatched, `most` at most are counted."""
    jobs = Job.objects.filter(engine__in=WAKEABLE)
    dispatched = jobs.filter(status=Status.QUEUED, dispatched_at__isnull=False).count()
    rendering = jobs.filter(status=Status.PROCESSING).count()
    to_dispatch = sum(len(dispatch.choose(engine, most)) for engine in WAKEABLE)
    return Demand(dispatched + to_dispatch, rendering)


def idle_turns(demand: Demand, health: Health) -> int:
    """How many turns have no job: they have just begun, or their worker is between two jobs.

    Workers that aren't the endpoint's may render, too, so more jobs than turns mean nothing.
    """
    return max(0, health.in_progress - demand.rendering)


def missing(demand: Demand, health: Health, most: int, *, takers: int) -> int:
    """How many wakes to make, so that each job that waits has one, and no more than `most` are outstanding.

    Args:
        demand: What Postgres says.
        health: What RunPod says.
        most: The most workers that there may be.
        takers: Of the idle turns, those whose worker is about to take a job.
    """
    wanted = demand.waiting - health.in_queue - takers
    allowed = most - health.in_queue - health.in_progress
    return max(0, min(wanted, allowed))


def is_short(health: Health, most: int) -> bool:
    """Whether requests wait although there could be more workers: none is at work, or starting, for them."""
    there = health.workers.initializing + health.workers.running
    return health.in_queue > 0 and there < min(most, health.in_queue + health.in_progress)
