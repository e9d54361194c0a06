"""A round: look how the endpoint is, and make the wakes that are missing."""

import logging
import time

from django.conf import settings
from redis import Redis

from avatar_api.common.advisory_lock import advisory_lock
from avatar_api.common.redis import redis_client
from jobs.scheduling.autoscaling import demand, status, trigger
from jobs.scheduling.autoscaling.demand import Demand
from jobs.scheduling.autoscaling.metrics import WAKES
from jobs.scheduling.autoscaling.runpod import Health, RunPodEndpoint, RunPodError, configured
from jobs.scheduling.autoscaling.status import EndpointStatus

log = logging.getLogger(__name__)

IDLE_TURN_SECONDS = 30


def reconcile_workers() -> None:
    """One round; nothing while another is at work, or where there is no endpoint."""
    endpoint = configured()
    if endpoint is None:
        return
    with advisory_lock("waking") as mine, redis_client() as redis:
        if not mine:
            return
        if _reconcile(endpoint, redis):
            trigger.pause(redis)
        else:
            trigger.release(redis)


def _reconcile(endpoint: RunPodEndpoint, redis: Redis) -> bool:
    """Whether RunPod is to have a rest now: jobs wait and have their wakes, or it doesn't answer."""
    most = settings.RUNPOD_MAX_WORKERS
    try:
        health = endpoint.health()
    except RunPodError as error:
        _note_failure(redis, error, jobs_wait=demand.demand(most).waiting > 0)
        return True
    current = demand.demand(most)
    takers = _expected_takers(redis, current, health)
    _wake(endpoint, demand.missing(current, health, most, takers=takers))
    return current.waiting > 0


def _note_failure(redis: Redis, error: RunPodError, *, jobs_wait: bool) -> None:
    log.warning("RunPod does not report the endpoint's health: %s", error)
    status.save(redis, EndpointStatus(time.time(), None, str(error)))
    if jobs_wait:
        WAKES.add("failed")


def _expected_takers(redis: Redis, current: Demand, health: Health) -> int:
    """How many idle turns count on getting a job; and what was seen is kept.

    A worker takes a job that waits within seconds. Where turns stay idle for longer, a worker has died, which
    RunPod notices at its execution time-out: nobody is to wait for that.
    """
    now, previous = time.time(), status.latest()
    seen_since = previous.idle_since if previous else None
    idle = demand.idle_turns(current, health) if current.waiting else 0
    idle_since = (seen_since or now) if idle else None
    status.save(redis, EndpointStatus(now, health, idle_since=idle_since))
    return idle if idle_since is None or now - idle_since < IDLE_TURN_SECONDS else 0


def _wake(endpoint: RunPodEndpoint, wakes: int) -> None:
    """Ask for so many workers, or until RunPod refuses: the next round goes on from what is true by then."""
    for number in range(wakes):
        try:
            endpoint.run()
        except RunPodError as error:
            log.warning("%s of %s wakes failed: %s", wakes - number, wakes, error)
            WAKES.add("failed")
            return
        WAKES.add("made")
    if wakes:
        log.info("asked RunPod for %s workers", wakes)
