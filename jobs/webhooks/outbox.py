"""Deliveries as rows, written in the transaction of their event; the queue only triggers the sending.

An entry that is lost is replaced: whatever is due and isn't in the queue is put there again.
"""

import secrets
import threading
from collections import Counter
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
from jobs.queues import DELIVER_FUNCTION, outbound_queue, waiting_ids
from jobs.scheduling import fair_claims
from jobs.scheduling.fair_claims import Lane, Waiting
from jobs.scheduling.fair_queue import TenantKey
from jobs.states import Status
from jobs.webhooks import messages

ENQUEUED_AT_ONCE = 200
AT_ONCE_TO_ONE_ENDPOINT = 8
"""So that a receiver that doesn't answer holds up its own messages alone."""
AT_ONCE_TO_OWN_ADDRESSES = 256
"""Of one tenant's jobs together, each of which may have another receiver."""

due_soon = threading.Event()
"""Set when the queue says that there is something to deliver."""

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


def next_ids(places: int) -> list[str]:
    """Whose turn it is among the deliveries that are due: each receiver has a lane of its own."""
    lanes = ("organization_id", "livemode", "endpoint_id")
    turn = Window(RowNumber(), partition_by=[F(name) for name in lanes], order_by="next_try_at")
    first = due().annotate(turn=turn).filter(turn__lte=AT_ONCE_TO_OWN_ADDRESSES)
    rows = first.order_by("turn", "next_try_at").values_list("id", *lanes)[: fair_claims.LOOKED_AT]
    sending = WebhookDelivery.objects.filter(
        state=WebhookDelivery.State.PENDING, leased_until__gt=timezone.now()
    )
    in_work = Counter(_lane(*names) for names in sending.values_list(*lanes))
    waiting = [Waiting(delivery_id, _lane(*names)) for delivery_id, *names in rows]
    return fair_claims.choose(waiting, in_work, _bound, places)


def _lane(organization_id: str, livemode: bool, endpoint_id: str | None) -> Lane:
    return Lane(TenantKey(organization_id, livemode), endpoint_id or "")


def _bound(lane: Lane) -> int:
    return AT_ONCE_TO_ONE_ENDPOINT if lane.name else AT_ONCE_TO_OWN_ADDRESSES


def enqueue_due() -> int:
    """Enqueue what could be sent now and isn't in the queue.

    Returns:
        How many deliveries were put there.
    """
    ids = next_ids(ENQUEUED_AT_ONCE)
    if not ids:
        return 0
    with redis_client() as redis:
        waiting = {rq_id.partition("-")[0] for rq_id in waiting_ids(outbound_queue(redis))}
        missing = [delivery_id for delivery_id in ids if delivery_id not in waiting]
        _enqueue(missing, redis)
    return len(missing)


def _enqueue_rows(rows: list[WebhookDelivery]) -> None:
    with redis_client() as redis:
        _enqueue([row.id for row in rows], redis)


def _enqueue(delivery_ids: Iterable[str], redis: Redis) -> None:
    queue = outbound_queue(redis)
    for delivery_id in delivery_ids:
        # An id of its own each time: a worker may have taken the last one a moment ago.
        enqueue(queue, DELIVER_FUNCTION, delivery_id, rq_id=f"{delivery_id}-{secrets.token_hex(4)}")
