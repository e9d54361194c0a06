"""Every ten seconds: what was promised and got stuck is set going again.

Losing Redis, a queue entry, a report or a worker loses no job, because Postgres knows which jobs wait
and which are rendered. Which attempts are lost is looked at more often; see `attempts`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Q
from redis import Redis

from accounts import idempotency
from avatar_api.common.redis import redis_client
from avatar_api.common.transient_errors import STORE_ERRORS
from gpu_worker.contract import coordination
from gpu_worker.contract.lanes import LANES
from gpu_worker.contract.queues import render_queue, report_queue
from jobs import queues
from jobs.each import for_each
from jobs.intake import assets
from jobs.lifecycle import fetching, retention
from jobs.models import Job
from jobs.operations import attempts, stuck_renders
from jobs.queues import outbound_queue, speech_queue
from jobs.scheduling import dispatch, preemption, window_times
from jobs.scheduling.autoscaling import trigger
from jobs.states import Status
from jobs.webhooks import outbox

log = logging.getLogger(__name__)

Result = TypeVar("Result")

EVERY_SECONDS = 10
NOTHING = attempts.Reconciled(lost=0, rescued=0, undispatched=0)

CANCEL_REQUESTED = Q(status=Status.PROCESSING, cancel_requested_at__isnull=False)


@dataclass(frozen=True)
class Reconciled:
    """How much one round has set going again.

    Attributes:
        put_back: Reports, and tasks of `outbound` and `speech-cpu`, that a worker took and never began.
        unrung: Announced attempts that the queue had lost.
        lost: Attempts whose worker was given up.
        rescued: Lost attempts that turned out to be finished.
        canceled: Cancel requests repeated to Redis.
        timed_out: Renders without progress that were given up.
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
    timed_out: int
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
        put_back = _put_back_unbegun(redis)
        found = _unless_store_is_away(lambda: attempts.reconcile_attempts(redis), NOTHING)
        canceled = for_each(
            Job.objects.filter(CANCEL_REQUESTED), lambda job: _repeat_cancel(job, redis), "cancel request"
        )
        timed_out = stuck_renders.time_out(redis)
        trigger.reconcile_soon(redis)
        window_times.publish(redis)
    finally:
        redis.close()
    return Reconciled(
        put_back=put_back,
        unrung=found.undispatched,
        lost=found.lost,
        rescued=found.rescued,
        canceled=sum(canceled),
        timed_out=timed_out,
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


def _put_back_unbegun(redis: Redis) -> int:
    for lane in LANES:
        queues.take_unbegun(render_queue(lane, redis))  # Their jobs are dispatched again, as new attempts.
    ours = (report_queue(redis), outbound_queue(redis), speech_queue(redis))
    return sum(queues.put_back_unbegun(queue) for queue in ours)


def _repeat_cancel(job: Job, redis: Redis) -> bool:
    control = coordination.read_control(redis, job.id)
    if control is not None and control.stop is coordination.Stop.CANCEL:
        return False
    if control is None:
        coordination.announce_attempt(redis, job.id, job.attempt)
    coordination.request_stop(redis, job.id, coordination.Stop.CANCEL)
    return True
