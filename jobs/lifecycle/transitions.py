"""The only writer of `Job.status`.

Each transition takes the row's lock only if the job is still where the transition starts: in one of
the states that may lead there and, for what a worker reports, in the very attempt that is reported.
Whoever comes late, twice, or for an older attempt finds no row and changes nothing. The event, the
deliveries to webhooks and the quota's settlement are part of the same transaction; dispatching
follows its commit, and one that fails is repeated by `operations.reconcile`.
"""

from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from avatar_api.common.after_commit import after_commit
from avatar_api.common.redis import redis_client
from gpu_worker.contract import coordination
from gpu_worker.contract.spec import RenderedVideo
from jobs import counters
from jobs.billing import ended_jobs, pricing, quotas
from jobs.lifecycle.drafts import Length
from jobs.models import Job, JobEvent
from jobs.scheduling import dispatch
from jobs.states import Status, sources_of
from jobs.webhooks import outbox

MAX_LOSSES = 3


@transaction.atomic
def take_in(job_id: str, inputs: dict[str, Any], length: Length) -> bool:
    """The files at addresses are there: the job may be rendered. False: it waits for them no more."""
    job = _lock(job_id, {Status.QUEUED}, None, urls__isnull=False)
    if job is None:
        return False
    quotas.correct(job, length.reserved_seconds)
    job.num_frames, job.windows = length.num_frames, length.windows
    job.inputs, job.urls, job.fetch_deadline = inputs, None, None
    job.save()
    _record_event(job, "fetched")
    after_commit(dispatch.dispatch_jobs)
    return True


@transaction.atomic
def fail_fetch(job_id: str, code: str, detail: str) -> bool:
    """The files at addresses can't be had, or can't be used. The addresses stay, for a retry."""
    job = _lock(job_id, {Status.QUEUED}, None, urls__isnull=False)
    if job is None:
        return False
    job.error_code, job.error_detail = code, detail
    _end(job, Status.FAILED)
    return True


@transaction.atomic
def start(job_id: str, attempt: int) -> bool:
    """The attempt has begun: queued → processing. False: it isn't this attempt's turn."""
    job = _lock(job_id, {Status.QUEUED}, attempt, dispatched_at__isnull=False)
    if job is None:
        return False
    is_first = job.started_at is None
    job.attempt_started_at = timezone.now()
    job.slice_ends_at = job.attempt_started_at + timedelta(seconds=settings.YIELD_AFTER_SECONDS)
    job.started_at = job.started_at or job.attempt_started_at
    _move(job, Status.PROCESSING, tell=is_first)
    if is_first:
        after_commit(partial(counters.count_start, job))
    return True


@transaction.atomic
def finish_window(job_id: str, attempt: int, windows_done: int, prefix: str, gpu_seconds: float) -> bool:
    """Windows up to `windows_done` are saved; those that no earlier attempt saved lie below `prefix`."""
    job = _lock(job_id, {Status.PROCESSING}, attempt)
    if job is None:
        return False
    took = max(0.0, gpu_seconds - job.attempt_gpu_seconds)
    job.attempt_gpu_seconds = max(job.attempt_gpu_seconds, gpu_seconds)
    missing = windows_done - len(job.window_prefixes)
    if missing > 0:
        after_commit(partial(counters.count_windows, job, missing, took))
        job.window_prefixes += [prefix] * missing
        job.step_prefix = ""
        job.losses = 0
        _record_event(job, "window", windows_done=windows_done)
    job.save(update_fields=["attempt_gpu_seconds", "window_prefixes", "step_prefix", "losses"])
    return True


@transaction.atomic
def succeed(
    job_id: str, attempt: int, video: RenderedVideo, receipt: dict[str, Any], gpu_seconds: float
) -> bool:
    job = _lock(job_id, sources_of(Status.SUCCEEDED), attempt)
    if job is None:
        return False
    job.output, job.receipt = asdict(video), receipt
    job.attempt_gpu_seconds = max(job.attempt_gpu_seconds, gpu_seconds)
    _end(job, Status.SUCCEEDED)
    return True


@transaction.atomic
def fail(job_id: str, code: str, detail: str, *, attempt: int | None = None, gpu_seconds: float = 0) -> bool:
    """The job can't be rendered. An attempt that was given up has no say in that any more."""
    sources = sources_of(Status.FAILED) if attempt is None else {Status.PROCESSING}
    job = _lock(job_id, sources, attempt)
    if job is None:
        return False
    job.error_code, job.error_detail = code, detail
    job.attempt_gpu_seconds = max(job.attempt_gpu_seconds, gpu_seconds)
    _end(job, Status.FAILED)
    return True


@transaction.atomic
def cancel(job_id: str, *, attempt: int | None = None, gpu_seconds: float = 0) -> bool:
    """The job has stopped for good. Of a running job only its worker knows that, so it needs the attempt."""
    job = _lock(job_id, {Status.QUEUED} if attempt is None else {Status.PROCESSING}, attempt)
    if job is None:
        return False
    job.attempt_gpu_seconds = max(job.attempt_gpu_seconds, gpu_seconds)
    _end(job, Status.CANCELED)
    return True


@transaction.atomic
def request_cancel(job_id: str) -> bool:
    """Remember that the user wants a running job to stop, also if its worker is lost meanwhile."""
    job = _lock(job_id, {Status.PROCESSING}, None)
    if job is None:
        return False
    job.cancel_requested_at = job.cancel_requested_at or timezone.now()
    job.save(update_fields=["cancel_requested_at"])
    return True


@transaction.atomic
def hand_back(job_id: str, attempt: int, step_prefix: str, gpu_seconds: float) -> bool:
    """The worker was requested to stop and saved where it is: the job waits again and loses nothing.

    One that saved nothing, as one that can't read its spec, leaves what an earlier attempt has saved.
    """
    job = _lock(job_id, sources_of(Status.QUEUED), attempt)
    if job is None:
        return False
    job.step_prefix = step_prefix or job.step_prefix
    job.attempt_gpu_seconds = max(job.attempt_gpu_seconds, gpu_seconds)
    _wait_again(job, "handed_back")
    return True


@transaction.atomic
def lose(job_id: str, attempt: int, **facts: Any) -> bool:
    """The worker is gone without a word: the job waits again, or fails at the third loss without a window.

    Args:
        job_id: The job.
        attempt: The attempt.
        facts: How that was noticed, for the job's history.
    """
    job = _lock(job_id, sources_of(Status.QUEUED), attempt)
    if job is None:
        return False
    job.losses += 1
    if job.losses >= MAX_LOSSES:
        job.error_code, job.error_detail = "worker_lost", "The render worker was lost three times in a row."
        _end(job, Status.FAILED)
    else:
        _wait_again(job, "lost", **facts)
    return True


@transaction.atomic
def undispatch(job_id: str, attempt: int) -> bool:
    """The attempt was announced, but never reached a worker: the queue has lost it."""
    job = _lock(job_id, {Status.QUEUED}, attempt, dispatched_at__isnull=False)
    if job is None:
        return False
    job.dispatched_at = None
    job.save(update_fields=["dispatched_at"])
    return True


def _lock(job_id: str, sources: Any, attempt: int | None, **conditions: Any) -> Job | None:
    if attempt is not None:
        conditions["attempt"] = attempt
    rows = Job.objects.select_for_update(of=("self",)).filter(pk=job_id, status__in=sources, **conditions)
    return rows.first()


def _move(
    job: Job,
    status: Status,
    event: str | None = None,
    facts: dict[str, Any] | None = None,
    *,
    tell: bool = True,
) -> None:
    """Go to a state, and tell webhooks of it."""
    job.status = status
    job.save()
    _record_event(job, event or status.value, **(facts or {}))
    if tell:
        outbox.announce(job)


def _record_event(job: Job, event: str, **data: Any) -> None:
    JobEvent.objects.create(job=job, type=event, attempt=job.attempt, data=data)
    after_commit(partial(notify_watchers, job.id))


def notify_watchers(job_id: str) -> None:
    """Something about the job has changed."""
    with redis_client() as redis:
        coordination.publish_change(redis, job_id)


def _wait_again(job: Job, event: str, **facts: Any) -> None:
    _fold_gpu_seconds(job)
    job.dispatched_at = job.lease_missing_since = job.attempt_started_at = job.slice_ends_at = None
    job.worker = ""
    if job.cancel_requested_at is not None:
        _end(job, Status.CANCELED)
        return
    _move(job, Status.QUEUED, event, facts, tell=False)
    after_commit(dispatch.dispatch_jobs)


def _end(job: Job, status: Status) -> None:
    _fold_gpu_seconds(job)
    job.status = status
    job.finished_at = timezone.now()
    job.expires_at = job.finished_at + timedelta(seconds=job.retention_seconds)
    job.charged_seconds = quotas.settle(job)
    job.cost_usd = pricing.cost_usd(job.charged_seconds, job)
    _move(job, status)
    ended_jobs.count_end(job)
    after_commit(dispatch.dispatch_jobs)


def _fold_gpu_seconds(job: Job) -> None:
    job.gpu_seconds += job.attempt_gpu_seconds
    job.attempt_gpu_seconds = 0
