"""A long render gives its worker up between two steps when others wait and no worker is left for them.

A job has its worker for itself for a slice of YIELD_AFTER_SECONDS. Once that is over it competes for the next
one with all who wait, under the rules by which they are dispatched: whoever has had most of its share loses
its worker first, and what took the worker is always before it in the queue. Who wins goes on undisturbed. The
one that yields is handed back with all it has done, and costs its customer nothing more.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from redis import Redis

from avatar_api.common.redis import redis_client
from gpu_worker.contract import coordination
from gpu_worker.contract.engines import WAKEABLE, EngineName
from gpu_worker.contract.lanes import Lane
from jobs.models import Job
from jobs.scheduling import dispatch, queries, window_times
from jobs.scheduling.autoscaling import status
from jobs.scheduling.fair_queue import Candidate, TenantKey, renew_slices
from jobs.scheduling.queries import AtWork, tenant_of
from jobs.scheduling.window_times import WindowSeconds
from jobs.scheduling.workers import RenderWorkers, read_pools
from jobs.states import Status

log = logging.getLogger(__name__)

# A job that was sent and that nobody has begun after so long has no worker, whatever RQ's registry says.
STRANDED_AFTER = timedelta(seconds=5)


def end_slices() -> int:
    """Renew the slices that are over, or request their jobs to yield.

    Returns:
        How many jobs were requested to yield.

    Raises:
        RedisError: Redis is away.
    """
    with redis_client() as redis:
        engines = [engine for engine in EngineName if _over(engine, timezone.now()).exists()]
        return sum(_end_slices(engine, redis) for engine in engines)


def _end_slices(engine: EngineName, redis: Redis) -> int:
    pools = read_pools(engine, redis)
    window_seconds = window_times.read_published(redis)
    with transaction.atomic():
        queries.lock_dispatch()
        preempted = [
            job for lanes, workers in pools.items() for job in _renew(engine, lanes, workers, window_seconds)
        ]
    for job in preempted:
        log.info("%s is requested to yield", job.id)
        coordination.request_stop(redis, job.id, coordination.Stop.YIELD)
    return len(preempted)


def _over(engine: EngineName, now: datetime) -> QuerySet[Job]:
    jobs = Job.objects.filter(engine=engine, status=Status.PROCESSING, cancel_requested_at__isnull=True)
    over = jobs.filter(slice_ends_at__lte=now).order_by("id")
    return over.select_related("organization__plan", "organization__test_plan")


def more_workers_available(engine: EngineName) -> bool:
    """Whether whoever waits gets a worker of its own soon, if RunPod says so."""
    if engine not in WAKEABLE or not settings.RUNPOD_ENDPOINT_ID:
        return False
    reading = status.latest()
    if reading is None or reading.health is None:
        return False
    health = reading.health
    requested = health.in_queue + health.in_progress
    return requested < settings.RUNPOD_MAX_WORKERS and not health.workers.throttled


def _renew(
    engine: EngineName, lanes: Collection[Lane], workers: RenderWorkers, window_seconds: WindowSeconds
) -> list[Job]:
    """Give another slice to the jobs that nobody has to wait for; those are left that have to yield.

    Nobody yields for a job whose weights its worker hasn't.
    """
    now, presets = timezone.now(), frozenset(preset for lane in lanes for preset in lane.presets)
    over = list(_over(engine, now).filter(preset__in=presets))
    at_work = queries.at_work(engine, presets)
    waiting, stranded = {}, 0
    if not more_workers_available(engine):
        stranded = _stranded(engine, presets, over, at_work, now)
        if dispatch.free_places(at_work, workers) == 0:
            waiting = queries.first_of_each_tenant(engine, len(over), presets=presets)
    clock = queries.read_clock(engine, {tenant_of(job) for job in over} | waiting.keys())
    renewed = renew_slices(
        clock,
        _lines(over, waiting, window_seconds),
        {tenant_of(job): queries.share_of(job) for job in [*over, *(line[0] for line in waiting.values())]},
        at_work.by_tenant - Counter(tenant_of(job) for job in over),
        len(over) - stranded,
    )
    queries.save_clock(engine, clock)
    ends_at = now + timedelta(seconds=settings.YIELD_AFTER_SECONDS)
    Job.objects.filter(pk__in=renewed, status=Status.PROCESSING).update(slice_ends_at=ends_at)
    return [job for job in over if job.id not in renewed]


def _lines(
    over: list[Job], waiting: dict[TenantKey, list[Job]], window_seconds: WindowSeconds
) -> dict[TenantKey, list[Candidate]]:
    lines: dict[TenantKey, list[Candidate]] = defaultdict(list)
    for job in over:
        lines[tenant_of(job)].append(queries.candidate(job, window_seconds, running=True))
    for tenant, line in waiting.items():
        lines[tenant] += [queries.candidate(job, window_seconds) for job in line]
    return lines


def _stranded(
    engine: EngineName, presets: Collection[str], over: list[Job], at_work: AtWork, now: datetime
) -> int:
    """How many of the workers belong to jobs that were sent, and found none free."""
    if not at_work.unstarted:
        return 0
    sent = Job.objects.filter(
        engine=engine, preset__in=presets, status=Status.QUEUED, dispatched_at__lt=now - STRANDED_AFTER
    )
    owners = {tenant_of(job) for job in over}
    # Nobody yields to a job of its own.
    claims = sum(bool(owners - {tenant_of(job)}) for job in sent.only("organization_id", "livemode"))
    return min(claims, len(over))
