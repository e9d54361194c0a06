"""Renders that don't get on: their worker lives, and finishes no window in far longer than one takes."""

import logging
from datetime import datetime, timedelta

from django.db.models import Max
from django.utils import timezone
from redis import Redis

from gpu_worker.contract import coordination
from gpu_worker.contract.coordination import Stop
from jobs.each import for_each
from jobs.lifecycle import transitions
from jobs.models import Job
from jobs.scheduling import window_times
from jobs.scheduling.window_times import WindowSeconds
from jobs.states import Status

log = logging.getLogger(__name__)

TIMES_EXPECTED = 10
LEAST_SECONDS = 3600
"""Loading models and a first compilation are no reason to give up."""


def time_out(redis: Redis) -> int:
    """Fail the renders that have gone on for too long without a window.

    Returns:
        How many.
    """
    now = timezone.now()
    jobs = Job.objects.filter(
        status=Status.PROCESSING, attempt_started_at__lt=now - timedelta(seconds=LEAST_SECONDS)
    )
    seen = list(jobs.annotate(last_event_at=Max("events__created_at")))
    if not seen:
        return 0
    measured = window_times.read_published(redis)
    return sum(for_each(seen, lambda job: _time_out(job, measured, now, redis), "stuck render"))


def _time_out(job: Job, measured: WindowSeconds, now: datetime, redis: Redis) -> bool:
    window = window_times.seconds_per_window(window_times.kind_of(job), measured)
    allowed = max(LEAST_SECONDS, TIMES_EXPECTED * window)
    last = max(filter(None, (job.attempt_started_at, job.last_event_at)))  # type: ignore[attr-defined]
    if (now - last).total_seconds() <= allowed:
        return False
    log.warning("%s has finished no window in %.0f s and is given up", job.id, allowed)
    coordination.request_stop(redis, job.id, Stop.CANCEL)
    detail = f"The render made no progress in {allowed / 60:.0f} minutes."
    return transitions.fail(job.id, "timed_out", detail, attempt=job.attempt)
