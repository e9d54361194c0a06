"""Which waiting jobs go to the render workers next, and the ring that sends them.

Postgres holds the queue; RQ gets no more than its workers can take soon, so that fairness is decided
here and not by who came first in bulk. One dispatcher runs at a time: locking the rows alone would let
two of them count the same tenant's running jobs and start too many.
"""

import hashlib
import logging
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Q, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker

from accounts.limits import effective_limits
from gpu_worker.contract import signals, storage_keys
from gpu_worker.contract.queues import RENDER_FUNCTION, render_job_id, render_queue
from gpu_worker.contract.spec import EngineName, RenderSpec
from jobs.models import Job, JobEvent
from jobs.specs import spec_of
from jobs.states import Status

log = logging.getLogger(__name__)

DISPATCH_LOCK = 0x6176_6174  # "avat"

# A job whose inputs are still to be fetched waits for these first.
WAITING = Q(status=Status.QUEUED, rung_at__isnull=True, urls__isnull=True)
ACTIVE = Q(status=Status.PROCESSING) | Q(status=Status.QUEUED, rung_at__isnull=False)


@dataclass(frozen=True)
class Tenant:
    """Jobs are counted apart by organization and mode."""

    organization_id: str
    livemode: bool


def redis_client() -> Redis:
    return Redis.from_url(settings.REDIS_URL)


def ring() -> int:
    """Send the next jobs to the render queues, as many as these can take.

    A ring that fails is logged and left to `repair`: the jobs wait in Postgres.

    Returns:
        How many jobs were sent.
    """
    redis = redis_client()
    try:
        return sum(_ring_engine(engine, redis) for engine in EngineName)
    except RedisError:
        log.exception("the render queues can't be reached; repair will ring again")
        return 0
    finally:
        redis.close()


def _ring_engine(engine: EngineName, redis: Redis) -> int:
    queue = render_queue(engine, redis)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DISPATCH_LOCK])
        rung = [_begin_attempt(job) for job in choose(engine, free_places(queue))]
    for spec in rung:
        _enqueue(queue, redis, spec)
    return len(rung)


def free_places(queue: Queue) -> int:
    """One unstarted job for each worker, and one more that a worker finds without waiting."""
    return max(0, Worker.count(connection=queue.connection, queue=queue) + 1 - queue.count)


def choose(engine: EngineName, places: int) -> list[Job]:
    """The next jobs: each tenant in turn, weighted by plan, none above its jobs at once."""
    if places == 0:
        return []
    waiting = _first_of_each_tenant(engine, places)
    active = _active_by_tenant(waiting)
    return list(_take_turns(waiting, active, places))


def _first_of_each_tenant(engine: EngineName, places: int) -> dict[Tenant, list[Job]]:
    turn = Window(RowNumber(), partition_by=[F("organization"), F("livemode")], order_by="id")
    jobs = (
        Job.objects.filter(WAITING, engine=engine, organization__suspended_at__isnull=True)
        .annotate(turn=turn)
        .filter(turn__lte=places)
        .select_related("organization__plan", "organization__test_plan")
        .order_by("id")
    )
    waiting: dict[Tenant, list[Job]] = defaultdict(list)
    for job in jobs:
        waiting[Tenant(job.organization_id, job.livemode)].append(job)
    return waiting


def _active_by_tenant(tenants: Iterable[Tenant]) -> dict[Tenant, int]:
    rows = (
        Job.objects.filter(ACTIVE, organization__in={tenant.organization_id for tenant in tenants})
        .values("organization", "livemode")
        .annotate(count=Count("id"))
    )
    return {Tenant(row["organization"], row["livemode"]): row["count"] for row in rows}


def _take_turns(waiting: dict[Tenant, list[Job]], active: dict[Tenant, int], places: int) -> Iterator[Job]:
    limits = {
        tenant: effective_limits(jobs[0].organization, livemode=tenant.livemode)
        for tenant, jobs in waiting.items()
    }
    counts = defaultdict(int, active)
    for _ in range(places):
        candidates = [
            tenant
            for tenant, jobs in waiting.items()
            if jobs and counts[tenant] < limits[tenant].concurrent_jobs
        ]
        if not candidates:
            return
        next_one = min(candidates, key=lambda t: (counts[t] / limits[t].weight, waiting[t][0].id))
        counts[next_one] += 1
        yield waiting[next_one].pop(0)


def _begin_attempt(job: Job) -> RenderSpec:
    token = secrets.token_urlsafe(32)
    job.attempt += 1
    job.token_hash = hash_token(token)
    job.rung_at = timezone.now()
    job.save(update_fields=["attempt", "token_hash", "rung_at"])
    JobEvent.objects.create(job=job, type="rung", attempt=job.attempt)
    prefix = storage_keys.attempt_prefix(job.organization_id, job.id, job.attempt)
    return spec_of(job, token=token, prefix=prefix)


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _enqueue(queue: Queue, redis: Redis, spec: RenderSpec) -> None:
    signals.announce_attempt(redis, spec.job_id, spec.attempt)
    rq_id = render_job_id(spec.job_id, spec.attempt)
    queue.enqueue(
        RENDER_FUNCTION,
        args=(spec.to_dict(),),
        job_id=rq_id,
        # RQ logs and shows the description, which by default would hold the arguments and so the token.
        description=rq_id,
        job_timeout=-1,
        result_ttl=0,
        failure_ttl=3600,
    )
