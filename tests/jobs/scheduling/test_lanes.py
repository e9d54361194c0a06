"""A job goes to a worker that has its weights, and to no other."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from pytest_django import Settings
from redis import Redis
from rq import Worker

from accounts.models import Organization
from gpu_worker.contract import heartbeats
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.heartbeats import Heartbeat
from gpu_worker.contract.lanes import LANES
from gpu_worker.contract.queues import render_queue
from jobs.models import Job
from jobs.scheduling import dispatch, eta
from jobs.scheduling.preemption import end_slices
from tests import factories
from tests.jobs.render_workers import begin

pytestmark = pytest.mark.usefixtures("store")

STANDARD, TURBO = ("balanced", "fast", "quality"), ("instant", "turbo")


def beat(redis: Redis, name: str, presets: tuple[str, ...] | None, *, rendering: bool = False) -> None:
    heartbeats.write(redis, Heartbeat(name, "infinitetalk", True, (), rendering, 60.0, None, presets))


def live_job(organization: Organization, preset: str) -> Job:
    return factories.job(organization, livemode=True, engine="infinitetalk", preset=preset)


def queued(redis: Redis) -> dict[str, list[str]]:
    """Ids of jobs by the queue that they are in."""
    queues = [render_queue(lane, redis) for lane in LANES if lane.engine is EngineName.INFINITETALK]
    return {queue.name: [rq_id.rsplit("-", 1)[0] for rq_id in queue.job_ids] for queue in queues}


def test_each_of_two_crews_gets_the_jobs_that_it_has_weights_for(
    acme: Organization, initech: Organization, redis: Redis
) -> None:
    fast, turbo = live_job(acme, "fast"), live_job(initech, "turbo")
    beat(redis, "one", STANDARD)
    beat(redis, "two", TURBO)
    assert dispatch.dispatch_jobs() == 2
    assert queued(redis) == {"render-gpu": [fast.id], "render-gpu-turbo": [turbo.id]}


def test_a_job_waits_for_its_weights_while_others_pass(acme: Organization, redis: Redis) -> None:
    live_job(acme, "turbo")
    fast = live_job(acme, "fast")
    beat(redis, "one", STANDARD)
    beat(redis, "two", TURBO, rendering=True)
    assert dispatch.dispatch_jobs() == 1
    assert queued(redis) == {"render-gpu": [fast.id], "render-gpu-turbo": []}


def test_a_worker_with_all_weights_has_one_place_for_both(acme: Organization, redis: Redis) -> None:
    turbo = live_job(acme, "turbo")
    live_job(acme, "fast")
    beat(redis, "one", STANDARD + TURBO)
    assert dispatch.dispatch_jobs() == 1
    assert queued(redis) == {"render-gpu": [], "render-gpu-turbo": [turbo.id]}


def test_a_worker_of_the_last_release_gets_what_it_knows(acme: Organization, redis: Redis) -> None:
    live_job(acme, "turbo")
    fast = live_job(acme, "fast")
    beat(redis, "one", None)
    assert dispatch.dispatch_jobs() == 1
    assert queued(redis) == {"render-gpu": [fast.id], "render-gpu-turbo": []}


def test_where_no_worker_is_the_next_job_waits_in_its_queue_whatever_it_needs(
    acme: Organization, redis: Redis
) -> None:
    turbo = live_job(acme, "turbo")
    live_job(acme, "fast")
    assert dispatch.dispatch_jobs() == 1
    assert queued(redis) == {"render-gpu": [], "render-gpu-turbo": [turbo.id]}


def test_all_free_workers_get_a_job_whichever_weights_they_have(
    acme: Organization, initech: Organization, redis: Redis
) -> None:
    first, second = live_job(acme, "fast"), live_job(initech, "fast")
    beat(redis, "one", STANDARD)
    beat(redis, "two", STANDARD + TURBO)
    assert dispatch.dispatch_jobs() == 2
    assert queued(redis) == {"render-gpu": [first.id, second.id], "render-gpu-turbo": []}


def test_jobs_that_one_worker_alone_can_take_are_sent_one_at_a_time(acme: Organization, redis: Redis) -> None:
    turbo = live_job(acme, "turbo")
    live_job(acme, "turbo")
    beat(redis, "one", STANDARD)
    beat(redis, "two", STANDARD + TURBO)
    assert dispatch.dispatch_jobs() == 1
    assert queued(redis) == {"render-gpu": [], "render-gpu-turbo": [turbo.id]}


@pytest.fixture
def long_render(acme: Organization, redis: Redis) -> Job:
    """The only one, on the only worker that has the standard weights."""
    factories.job(acme, livemode=True, engine="infinitetalk", preset="fast", num_frames=25 * 600)
    beat(redis, "one", STANDARD)
    dispatch.dispatch_jobs()
    (job,) = begin(redis, EngineName.INFINITETALK)
    return job


@contextmanager
def its_slice_is_over(settings: Settings) -> Iterator[None]:
    with time_machine.travel(timezone.now() + timedelta(seconds=1.1 * settings.YIELD_AFTER_SECONDS)):
        yield


@pytest.mark.usefixtures("long_render")
@pytest.mark.parametrize(
    ("waiting", "of_the_renderer", "of_one_that_is_free", "yielding"),
    [
        pytest.param("turbo", STANDARD, None, 0, id="its worker has no weights for what waits"),
        pytest.param("fast", STANDARD, TURBO, 1, id="the free worker has no weights for it"),
        pytest.param("turbo", STANDARD + TURBO, None, 1, id="its worker has all weights"),
    ],
)
def test_a_render_yields_to_what_its_worker_could_take_and_no_free_one_can(
    initech: Organization,
    redis: Redis,
    settings: Settings,
    waiting: str,
    of_the_renderer: tuple[str, ...],
    of_one_that_is_free: tuple[str, ...] | None,
    yielding: int,
) -> None:
    live_job(initech, waiting)
    with its_slice_is_over(settings):
        beat(redis, "one", of_the_renderer, rendering=True)
        if of_one_that_is_free:
            beat(redis, "two", of_one_that_is_free)
        assert end_slices() == yielding


def test_a_job_whose_only_worker_has_distilled_weights_knows_when_it_ends(
    acme: Organization, redis: Redis
) -> None:
    job = live_job(acme, "turbo")
    Worker(["render-gpu-turbo"], connection=redis).register_birth()
    assert eta.expected_of(job).eta_seconds is not None
