"""Every ten seconds: what was promised and got stuck is set going again.

Losing Redis, a queue entry, a report or a worker loses no job, because Postgres knows which jobs wait
and which are rendered. A worker counts as lost once its lease has been missing for a minute in which
Redis was reachable all the time; an outage of Redis alone fails no worker.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from django.core.files.storage import default_storage
from django.db.models import Q
from django.utils import timezone
from redis import Redis
from rq.serializers import JSONSerializer

from accounts import idempotency
from avatar_api.common.redis import redis_client
from avatar_api.common.transient_errors import STORE_ERRORS
from gpu_worker.contract import coordination, storage_keys
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.queues import RenderJob, render_job_id, render_queue, report_queue
from gpu_worker.contract.spec import RenderedVideo
from jobs import queues
from jobs.intake import assets
from jobs.lifecycle import fetching, retention, transitions
from jobs.models import Job
from jobs.queues import outbound_queue
from jobs.scheduling import dispatch, preemption, window_times
from jobs.scheduling.autoscaling import trigger
from jobs.states import Status
from jobs.webhooks import outbox

log = logging.getLogger(__name__)

Result = TypeVar("Result")

EVERY_SECONDS = 10
LOST_AFTER = timedelta(seconds=coordination.LEASE_SECONDS)
WATCHED_KEY = "repair:watching"

DISPATCHED = Q(status=Status.QUEUED, dispatched_at__isnull=False)
CANCEL_REQUESTED = Q(status=Status.PROCESSING, cancel_requested_at__isnull=False)


@dataclass(frozen=True)
class Reconciled:
    """How much one round has set going again.

    Attributes:
        put_back: Reports, and tasks of `outbound`, that a worker took and never began.
        unrung: Announced attempts that the queue had lost.
        lost: Attempts whose worker was given up.
        rescued: Lost attempts that turned out to be finished.
        canceled: Cancel requests repeated to Redis.
        expired: Jobs whose files were removed.
        forgotten: Idempotency keys that were freed.
        deliveries: Webhook deliveries that were due and that the queue didn't have.
        fetches: Fetches that the queue and its workers had lost.
        assets: Assets whose day was over.
        rung: Jobs sent to the render queues.
        yielding: Jobs that were requested to give their worker up for others.

    The names are values of the label `what` of `avatar_repaired_total`, so they stay.
    """

    put_back: int
    unrung: int
    lost: int
    rescued: int
    canceled: int
    expired: int
    forgotten: int
    deliveries: int
    fetches: int
    assets: int
    rung: int
    yielding: int


def reconcile() -> Reconciled:
    """One round over everything that may be stuck."""
    redis = redis_client()
    try:
        _note_outage(redis)
        put_back = _put_back_unbegun(redis)
        unrung = 0
        outcomes: list[str] = []
        if report_queue(redis).is_empty():  # What workers have said counts before what is missing.
            unrung = _unless_store_is_away(lambda: _undispatch_all_lost(redis), 0)
            outcomes = _unless_store_is_away(lambda: _check_leases(redis), [])
        canceled = sum(_repeat_cancel(job, redis) for job in Job.objects.filter(CANCEL_REQUESTED))
        trigger.reconcile_soon(redis)
        window_times.publish(redis)
    finally:
        redis.close()
    return Reconciled(
        put_back=put_back,
        unrung=unrung,
        lost=outcomes.count("lost"),
        rescued=outcomes.count("rescued"),
        canceled=canceled,
        expired=_unless_store_is_away(retention.prune_expired, 0),
        forgotten=idempotency.prune_claims(),
        deliveries=outbox.enqueue_due(),
        fetches=fetching.reconcile_fetches(),
        assets=_unless_store_is_away(assets.prune_assets, 0),
        rung=dispatch.dispatch_jobs(),
        yielding=preemption.end_slices(),
    )


def _unless_store_is_away(step: Callable[[], Result], otherwise: Result) -> Result:
    """What needs the store waits for it until the next rounds; the rest of the round doesn't."""
    try:
        return step()
    except STORE_ERRORS:
        log.exception("the object store is away: a part of this round is left to the next one")
        return otherwise


def _undispatch_all_lost(redis: Redis) -> int:
    return sum(_undispatch_if_lost(job, redis) for job in Job.objects.filter(DISPATCHED))


def _check_leases(redis: Redis) -> list[str]:
    return [_check_lease(job, redis) for job in Job.objects.filter(status=Status.PROCESSING)]


def _put_back_unbegun(redis: Redis) -> int:
    for engine in EngineName:
        queues.take_unbegun(render_queue(engine, redis))  # Their jobs are dispatched again, as new attempts.
    return sum(queues.put_back_unbegun(queue) for queue in (report_queue(redis), outbound_queue(redis)))


def _note_outage(redis: Redis) -> None:
    """Start every count of missing leases anew when nobody could watch them since the last rounds."""
    if not redis.set(WATCHED_KEY, "1", ex=3 * EVERY_SECONDS, get=True):
        Job.objects.filter(lease_missing_since__isnull=False).update(lease_missing_since=None)


def _undispatch_if_lost(job: Job, redis: Redis) -> bool:
    """Let an attempt wait again whose entry the queue has lost before any worker took it."""
    assert job.dispatched_at is not None
    if timezone.now() - job.dispatched_at < timedelta(seconds=EVERY_SECONDS):
        return False  # It was enqueued, or is being enqueued, a moment ago.
    rq_id = render_job_id(job.id, job.attempt)
    if not RenderJob.exists(rq_id, connection=redis):
        return _rescue(job) or transitions.undispatch(job.id, job.attempt)
    entry = RenderJob.fetch(rq_id, connection=redis, serializer=JSONSerializer)
    if not entry.is_queued:
        # A worker took it and its first report was lost: from now on its lease tells.
        transitions.start(job.id, job.attempt)
        return False
    queue = render_queue(EngineName(job.engine), redis)
    if redis.lpos(queue.key, rq_id) is not None:
        return False
    # A worker took it and was lost before it could say so. One that is about to say so will be superseded.
    return transitions.undispatch(job.id, job.attempt)


def _check_lease(job: Job, redis: Redis) -> str:
    if coordination.lease_held(redis, job.id, job.attempt):
        _set_missing_since(job, None)
        return "alive"
    if job.lease_missing_since is None:
        # Looked for at once, since a report that Redis has lost would else be missed for a minute.
        if _rescue(job):
            return "rescued"
        _set_missing_since(job, timezone.now())
        return "missing"
    if timezone.now() - job.lease_missing_since < LOST_AFTER:
        return "missing"
    if _rescue(job):
        return "rescued"
    log.warning("the worker of attempt %s of %s is lost", job.attempt, job.id)
    return "lost" if transitions.lose(job.id, job.attempt) else "settled"


def _set_missing_since(job: Job, moment: object) -> None:
    if job.lease_missing_since != moment:
        Job.objects.filter(pk=job.pk, attempt=job.attempt).update(lease_missing_since=moment)


def _rescue(job: Job) -> bool:
    """Take down a render whose worker finished it and died before its last report arrived."""
    prefix = storage_keys.attempt_prefix(job.organization_id, job.id, job.attempt)
    key = storage_keys.result(prefix)
    if not default_storage.exists(key):
        return False
    with default_storage.open(key) as file:
        result = json.load(file)
    transitions.start(job.id, job.attempt)
    transitions.finish_window(job.id, job.attempt, job.windows, prefix, result["gpu_seconds"])
    video = RenderedVideo(**result["video"])
    return transitions.succeed(job.id, job.attempt, video, result["receipt"], result["gpu_seconds"])


def _repeat_cancel(job: Job, redis: Redis) -> bool:
    control = coordination.read_control(redis, job.id)
    if control is not None and control.stop is coordination.Stop.CANCEL:
        return False
    if control is None:
        coordination.announce_attempt(redis, job.id, job.attempt)
    coordination.request_stop(redis, job.id, coordination.Stop.CANCEL)
    return True
