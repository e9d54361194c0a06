"""Which waiting jobs go to the render workers next, and how they get there.

Postgres holds the queue; RQ gets no more than its workers can take at once, so that fairness is decided
here and not by who came first in bulk. One dispatcher runs at a time.
"""

import hashlib
import logging
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from avatar_api.common.redis import redis_client
from gpu_worker.contract import coordination, storage_keys
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import Lane, lane_of, lanes_for
from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.queues import RENDER_FUNCTION, enqueue, render_job_id, render_queue
from gpu_worker.contract.spec import OLDEST_SPEC_VERSION, SPEC_VERSION, RenderSpec
from jobs.each import for_each
from jobs.models import Job, JobEvent
from jobs.scheduling import queries, window_times
from jobs.scheduling.autoscaling import trigger
from jobs.scheduling.fair_queue import Clock, give_slices
from jobs.scheduling.queries import AtWork
from jobs.scheduling.spec_versions import ReadableVersions, read_versions
from jobs.scheduling.specs import spec_of
from jobs.scheduling.window_times import WindowSeconds
from jobs.scheduling.workers import RenderWorkers, read_crews

log = logging.getLogger(__name__)


def dispatch_jobs() -> int:
    """Send the next jobs to the render queues, as many as these can take.

    A dispatch that fails is logged and left to `reconcile`: the jobs wait in Postgres.

    Returns:
        How many jobs were sent.
    """
    redis = redis_client()
    try:
        sent = sum(
            _dispatch_engine(engine, redis) for engine in EngineName if queries.has_waiting_jobs(engine)
        )
        trigger.reconcile_if_jobs_wait(redis)
        return sent
    except RedisError:
        log.exception("the render queues can't be reached; reconcile will dispatch again")
        return 0
    finally:
        redis.close()


def _dispatch_engine(engine: EngineName, redis: Redis) -> int:
    """To each crew what its members have weights for; where there is no worker, for the first that starts.

    Those that can take least come first, so that what only they can't take is left to the others.
    """
    crews = read_crews(engine, redis) or {frozenset(lanes_for(engine, PRESETS)): RenderWorkers()}
    return sum(_dispatch_crew(engine, lanes, crews, redis) for lanes in sorted(crews, key=len) if lanes)


def _dispatch_crew(
    engine: EngineName, lanes: frozenset[Lane], crews: Mapping[frozenset[Lane], RenderWorkers], redis: Redis
) -> int:
    window_seconds = window_times.read_published(redis)
    versions = read_versions(redis, engine)
    presets = frozenset(preset for lane in lanes for preset in lane.presets)
    with transaction.atomic():
        queries.lock_dispatch()
        at_work = queries.at_work(engine, presets)
        places = free_places(at_work, crews[lanes], _taken_by_others(at_work, lanes, crews))
        jobs, clock = _next(engine, at_work, places, window_seconds, versions, presets)
        queries.save_clock(engine, clock)
        specs = for_each(jobs, lambda job: _begin_attempt(job, versions.version_for(job)), "dispatch")
    for spec in specs:
        _send(redis, spec)
    return len(specs)


def _taken_by_others(
    at_work: AtWork, lanes: frozenset[Lane], crews: Mapping[frozenset[Lane], RenderWorkers]
) -> int:
    """How many of the unstarted jobs of these lanes the free workers take that serve only one of them."""
    taken = 0
    for lane in lanes if len(lanes) > 1 else ():
        unstarted = sum(at_work.unstarted_by_preset[preset] for preset in lane.presets)
        taken += min(unstarted, crews.get(frozenset({lane}), RenderWorkers()).free)
    return taken


def free_places(at_work: AtWork, workers: RenderWorkers, taken_by_others: int = 0) -> int:
    """One for each worker that says it is free; where there is none, one job waits for the first that comes.

    Nothing is sent ahead to workers that are busy: it would have its place before whoever comes next,
    however long those before have had theirs. A worker waits for its next job as long as a report takes.
    """
    free = workers.free_beside(at_work.processing) if workers.number else 1
    return max(0, free - (at_work.unstarted - taken_by_others))


def choose(engine: EngineName, places: int) -> list[Job]:
    """The next jobs: tenants in turn, weighted by plan, none above its jobs at once. Nothing is changed."""
    return _next(engine, queries.at_work(engine), places, {}, ReadableVersions(SPEC_VERSION, SPEC_VERSION))[0]


def _next(
    engine: EngineName,
    at_work: AtWork,
    places: int,
    window_seconds: WindowSeconds,
    versions: ReadableVersions,
    presets: Collection[str] = frozenset(PresetName),
) -> tuple[list[Job], Clock]:
    if places == 0:
        return [], Clock()
    waiting = queries.first_of_each_tenant(engine, places, newest_version=versions.by_any, presets=presets)
    clock = queries.read_clock(engine, waiting)
    jobs = {job.id: job for line in waiting.values() for job in line}
    given = give_slices(
        clock,
        {
            tenant: [queries.candidate(job, window_seconds) for job in line]
            for tenant, line in waiting.items()
        },
        {tenant: queries.share_of(line[0]) for tenant, line in waiting.items()},
        at_work.by_tenant,
        places,
    )
    return [jobs[candidate.job_id] for _, candidate in given], clock


def _begin_attempt(job: Job, version: int) -> RenderSpec:
    token = secrets.token_urlsafe(32)
    if not job.has_saved_work:
        job.sampling = _sampling_of(job) if version > OLDEST_SPEC_VERSION else None
    job.attempt += 1
    job.token_hash = hash_token(token)
    job.dispatched_at = timezone.now()
    prefix = storage_keys.attempt_prefix(job.organization_id, job.id, job.attempt)
    # First: a row that makes no spec stays as it is.
    spec = spec_of(job, token=token, prefix=prefix, version=version)
    job.save(update_fields=["attempt", "token_hash", "dispatched_at", "sampling"])
    JobEvent.objects.create(job=job, type="rung", attempt=job.attempt)
    return spec


def _sampling_of(job: Job) -> dict[str, Any]:
    return asdict(PRESETS[PresetName(job.preset)].sampling(Resolution(job.resolution)))


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _send(redis: Redis, spec: RenderSpec) -> None:
    queue = render_queue(lane_of(spec.engine, spec.preset), redis)
    coordination.announce_attempt(redis, spec.job_id, spec.attempt)
    enqueue(queue, RENDER_FUNCTION, spec.to_dict(), rq_id=render_job_id(spec.job_id, spec.attempt))
