"""A round: look how the endpoint is, and make the wakes that are missing."""

import logging
import time
from dataclasses import replace

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
    most, previous, now = settings.RUNPOD_MAX_WORKERS, status.last(), time.time()
    before = previous or EndpointStatus(now, None, used_at=now)
    try:
        health = endpoint.health()
    except RunPodError as error:
        log.warning("RunPod does not report the endpoint's health: %s", error)
        status.save(redis, replace(before, at=now, health=None, error=str(error), idle_since=None))
        if demand.demand(most).waiting > 0:
            WAKES.add("failed")
        return True
    current = demand.demand(most)
    found = _seen(before, now, current, health)
    status.save(redis, found)
    _wake(endpoint, demand.missing(current, health, most, takers=_expected_takers(found, current, health)))
    return current.waiting > 0


def _seen(before: EndpointStatus, now: float, current: Demand, health: Health) -> EndpointStatus:
    """What this round saw, and since when each of it was seen."""
    is_idle = current.waiting > 0 and demand.idle_turns(current, health) > 0
    is_short = demand.is_short(health, settings.RUNPOD_MAX_WORKERS)
    return EndpointStatus(
        now,
        health,
        idle_since=(before.idle_since or now) if is_idle else None,
        short_since=(before.short_since or now) if is_short else None,
        used_at=now if health.in_progress or before.used_at is None else before.used_at,
    )


def _expected_takers(found: EndpointStatus, current: Demand, health: Health) -> int:
    """How many idle turns count on getting a job.

    A worker takes a job that waits within seconds. Where turns stay idle for longer, a worker has died, which
    RunPod notices at its execution time-out: nobody is to wait for that.
    """
    if found.idle_since is None or found.at - found.idle_since >= IDLE_TURN_SECONDS:
        return 0
    return demand.idle_turns(current, health)


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
