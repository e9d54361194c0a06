"""Deliveries as rows, written in the transaction of their event; the queue only triggers the sending.

An entry that is lost is replaced: whatever is due and isn't in the queue is put there again.
"""

import secrets
from collections.abc import Iterable
from functools import partial

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from redis import Redis

from avatar_api.common.after_commit import after_commit
from avatar_api.common.redis import redis_client
from gpu_worker.contract.queues import enqueue
from jobs.models import Job, WebhookDelivery, WebhookEndpoint, WebhookEventType
from jobs.queues import DELIVER_FUNCTION, outbound_queue
from jobs.states import Status
from jobs.webhooks import messages

ENQUEUED_AT_ONCE = 1000
ENQUEUED_OF_ONE_TENANT = 50
"""So that the deliveries of one tenant, however many, keep nobody else's out of the queue."""
AT_ONCE_OF_ONE_TENANT = 2
"""Receivers may take 15 seconds to answer: with three workers, one of them is always for others."""

EVENT_OF_STATUS = {
    Status.PROCESSING: WebhookEventType.PROCESSING,
    Status.SUCCEEDED: WebhookEventType.SUCCEEDED,
    Status.FAILED: WebhookEventType.FAILED,
    Status.CANCELED: WebhookEventType.CANCELED,
}
"""What is announced of a job that has come to a status; a job that waits again is no event."""


def announce(job: Job) -> None:
    """Write the deliveries of the state that the job has come to; part of the caller's transaction."""
    event_type = EVENT_OF_STATUS[Status(job.status)]
    receivers = _receivers(job, event_type)
    if not receivers:
        return
    now = timezone.now()
    payload = messages.of_job(job, event_type, now)
    write(
        WebhookDelivery(
            organization_id=job.organization_id,
            livemode=job.livemode,
            endpoint=receiver,
            job=job,
            event_type=event_type,
            payload=payload,
            created_at=now,
            next_try_at=now,
        )
        for receiver in receivers
    )


def _receivers(job: Job, event_type: WebhookEventType) -> list[WebhookEndpoint | None]:
    """Who receives it; None stands for the job's own address, which takes the place of all endpoints."""
    if job.webhook_url:
        return [None]
    endpoints = WebhookEndpoint.objects.for_organization(job.organization, livemode=job.livemode)
    return list(endpoints.filter(disabled_at__isnull=True, event_types__contains=[event_type]))


def write(deliveries: Iterable[WebhookDelivery]) -> list[WebhookDelivery]:
    """Insert deliveries, and enqueue them once they are committed."""
    rows = WebhookDelivery.objects.bulk_create(deliveries)
    enqueue_after_commit(rows)
    return rows


def enqueue_after_commit(rows: list[WebhookDelivery]) -> None:
    # An enqueue that fails must not undo anything: the next round enqueues again.
    after_commit(partial(_enqueue_rows, rows))


def due() -> QuerySet[WebhookDelivery]:
    """Deliveries whose time has come and which nobody is sending."""
    now = timezone.now()
    free = Q(leased_until__isnull=True) | Q(leased_until__lte=now)
    return WebhookDelivery.objects.filter(free, state=WebhookDelivery.State.PENDING, next_try_at__lte=now)


def enqueue_due() -> int:
    """Enqueue what is due and isn't in the queue.

    Returns:
        How many deliveries were put there.
    """
    turn = Window(RowNumber(), partition_by=F("organization"), order_by="next_try_at")
    of_each = due().annotate(turn=turn).filter(turn__lte=ENQUEUED_OF_ONE_TENANT)
    rows = list(of_each.only("id").order_by("turn", "next_try_at")[:ENQUEUED_AT_ONCE])
    if not rows:
        return 0
    with redis_client() as redis:
        waiting = {rq_id.partition("-")[0] for rq_id in outbound_queue(redis).job_ids}
        missing = [row for row in rows if row.id not in waiting]
        _enqueue(missing, redis)
    return len(missing)


def is_busy(organization_id: str) -> bool:
    """Whether as many of the tenant's deliveries are being sent as may be.

    Two that are claimed in the same moment may not see each other.
    """
    sending = WebhookDelivery.objects.filter(
        organization_id=organization_id,
        state=WebhookDelivery.State.PENDING,
        leased_until__gt=timezone.now(),
    )
    return sending.count() >= AT_ONCE_OF_ONE_TENANT


def enqueue_next(organization_id: str) -> None:
    """Enqueue the tenant's next delivery, which may have been passed over while others were being sent."""
    rows = due().filter(organization_id=organization_id).order_by("next_try_at")[:1]
    enqueue_after_commit(list(rows))


def _enqueue_rows(rows: list[WebhookDelivery]) -> None:
    with redis_client() as redis:
        _enqueue(rows, redis)


def _enqueue(rows: Iterable[WebhookDelivery], redis: Redis) -> None:
    queue = outbound_queue(redis)
    for row in rows:
        # An id of its own each time: a worker may have taken the last one a moment ago.
        enqueue(queue, DELIVER_FUNCTION, row.id, rq_id=f"{row.id}-{secrets.token_hex(4)}")
