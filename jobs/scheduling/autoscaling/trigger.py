"""Triggers a round of `reconcile`: at most one at a time, and none too soon after the last."""

import secrets

from django.conf import settings
from redis import Redis

from gpu_worker.contract.engines import WAKEABLE
from gpu_worker.contract.queues import enqueue
from jobs.models import Job
from jobs.queues import WAKE_FUNCTION, outbound_queue
from jobs.states import Status

KEY = "waking:bell"
ROUND_SECONDS = 30
"""After so long a round that was lost, with its worker or its entry, may be enqueued again."""
PAUSE_SECONDS = 5
"""So long RunPod may take to count what was requested of it."""


def reconcile_if_jobs_wait(redis: Redis) -> None:
    """Enqueue a round if a job waits for workers that RunPod has."""
    if not settings.RUNPOD_ENDPOINT_ID:
        return
    waiting = Job.objects.filter(engine__in=WAKEABLE, status=Status.QUEUED, urls__isnull=True)
    if waiting.exists():
        reconcile_soon(redis)


def reconcile_soon(redis: Redis) -> None:
    """Enqueue a round, unless one is enqueued already or has just been."""
    if not settings.RUNPOD_ENDPOINT_ID or not redis.set(KEY, "rung", nx=True, ex=ROUND_SECONDS):
        return
    rq_id = f"wake-{secrets.token_hex(4)}"
    # At the front: a receiver of webhooks that is slow holds up no worker of ours.
    enqueue(outbound_queue(redis), WAKE_FUNCTION, rq_id=rq_id, at_front=True)


def release(redis: Redis) -> None:
    """The round is over: the next one may be enqueued."""
    redis.delete(KEY)


def pause(redis: Redis) -> None:
    """The round is over: the next one may be enqueued in a while."""
    redis.set(KEY, "resting", ex=PAUSE_SECONDS)
