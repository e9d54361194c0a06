"""A round: look how the endpoint is, and make the wakes that are missing."""

import logging
import time

from django.conf import settings
from redis import Redis

from avatar_api.common.alone import alone
from jobs.dispatch import redis_client
from jobs.waking import bell, need, readings
from jobs.waking.endpoint import Endpoint, Health, RunPodError, configured
from jobs.waking.metrics import WAKES
from jobs.waking.readings import Reading

log = logging.getLogger(__name__)


def make_round() -> None:
    """What the bell calls for; nothing while another round is at work, or where there is no endpoint."""
    endpoint = configured()
    if endpoint is None:
        return
    with alone("waking") as mine, redis_client() as redis:
        if not mine:
            return
        if _ask(endpoint, redis):
            bell.rest(redis)
        else:
            bell.release(redis)


def _ask(endpoint: Endpoint, redis: Redis) -> bool:
    """Whether RunPod is to have a rest now: jobs wait and have their wakes, or it doesn't answer."""
    most = settings.RUNPOD_MAX_WORKERS
    health = _look(endpoint, redis)
    demand = need.demand(most)
    if health is not None:
        _wake(endpoint, need.missing(demand, health, most))
    elif demand.waiting:
        WAKES.add("failed")
    return health is None or demand.waiting > 0


def _look(endpoint: Endpoint, redis: Redis) -> Health | None:
    try:
        health = endpoint.health()
    except RunPodError as error:
        log.warning("RunPod doesn't tell how the endpoint is: %s", error)
        readings.keep(redis, Reading(time.time(), None, str(error)))
        return None
    readings.keep(redis, Reading(time.time(), health))
    return health


def _wake(endpoint: Endpoint, wakes: int) -> None:
    """Ask for so many workers, or until RunPod refuses: the next round goes on from what is true by then."""
    for number in range(wakes):
        try:
            endpoint.run()
        except RunPodError as error:
            log.warning("%s of %s wakes weren't made: %s", wakes - number, wakes, error)
            WAKES.add("failed")
            return
        WAKES.add("made")
    if wakes:
        log.info("asked RunPod for %s workers", wakes)
