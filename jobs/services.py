"""What can be done with jobs on behalf of a tenant. Each verb owns its transaction."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.db import transaction
from redis.exceptions import RedisError

from accounts.limits import Limits
from accounts.tenancy import Tenant
from avatar_api.common.ids import new_id
from avatar_api.common.problems import FieldError, Problem, invalid
from gpu_worker.contract import signals, storage_keys, windows
from gpu_worker.contract.spec import EngineName, SpeakingOrder
from jobs import dispatch, idempotency, inputs, quotas, retention, transitions
from jobs.idempotency import IdempotentRequest
from jobs.inputs import Inputs
from jobs.models import Job, JobEvent
from jobs.requests import JobRequest
from jobs.states import OPEN, Status

log = logging.getLogger(__name__)

# What a retry asks for again.
ASKED_FIELDS = (
    "engine",
    "prompt",
    "negative_prompt",
    "resolution",
    "preset",
    "seed",
    "speaking_order",
    "speaker_boxes",
    "metadata",
    "reference_kind",
    "webhook_url",
    "num_frames",
    "windows",
    "reserved_seconds",
)


def create_job(*, tenant: Tenant, asked: JobRequest, idempotent: IdempotentRequest | None = None) -> Job:
    """Check the inputs, keep a normalised copy of them, and queue a job.

    Raises:
        Problem: `not_in_plan`, `payload_too_large`, `validation_error` with the file's fault,
            `queue_full`, `quota_exceeded` or `idempotency_key_in_use`. Nothing is left behind then.
    """
    check_plan(asked, tenant.limits)
    job_id = new_id("job")
    prefix = storage_keys.inputs_prefix(tenant.organization.pk, job_id)
    with idempotency.claimed(tenant, idempotent), _scratch() as scratch, _removed_unless_kept(prefix):
        checked = inputs.check(asked, tenant.limits, scratch)
        draft = _draft(job_id, tenant, asked, checked, inputs.store(checked, prefix))
        return _insert(draft, tenant, idempotent)


@contextmanager
def _scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="avatar-intake-") as folder:
        yield Path(folder)


def check_plan(asked: JobRequest, limits: Limits) -> None:
    """Raises: Problem: `not_in_plan` for a resolution or preset that the plan doesn't include."""
    for name, value, allowed in (
        ("resolution", asked.resolution.value, limits.resolutions),
        ("preset", asked.preset.value, limits.presets),
    ):
        if value not in allowed:
            raise Problem("not_in_plan", f"The plan offers these for {name}: {', '.join(sorted(allowed))}.")


@contextmanager
def _removed_unless_kept(prefix: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        retention.delete_prefix(prefix)
        raise


def _draft(job_id: str, tenant: Tenant, asked: JobRequest, checked: Inputs, stored: dict[str, Any]) -> Job:
    """The row of a new job, not yet saved."""
    duration = speech_duration(checked, asked.speaking_order, tenant.limits)
    num_frames = windows.frames_of(duration.numerator, duration.denominator)
    return Job(
        id=job_id,
        organization=tenant.organization,
        api_key=tenant.api_key,
        created_by=tenant.user,
        livemode=tenant.livemode,
        engine=EngineName(settings.LIVE_ENGINE) if tenant.livemode else EngineName.PREVIEW,
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        resolution=asked.resolution,
        preset=asked.preset,
        seed=asked.seed,
        speaking_order=asked.speaking_order,
        speaker_boxes=[vars(box) for box in asked.speaker_boxes],
        webhook_url=asked.webhook_url,
        metadata=asked.metadata,
        reference_kind=asked.reference_kind,
        inputs=stored,
        num_frames=num_frames,
        windows=len(windows.plan(num_frames)),
        reserved_seconds=Decimal(duration.numerator) / duration.denominator,
        retention_seconds=tenant.limits.retention_seconds,
        price_per_video_second_usd=tenant.limits.price_per_video_second_usd,
    )


@transaction.atomic
def _insert(job: Job, tenant: Tenant, idempotent: IdempotentRequest | None = None) -> Job:
    quotas.reserve(
        organization=tenant.organization,
        livemode=tenant.livemode,
        seconds=job.reserved_seconds,
        limits=tenant.limits,
    )
    job.save(force_insert=True)
    JobEvent.objects.create(job=job, type=Status.QUEUED, attempt=0)
    idempotency.complete(tenant, idempotent, job.id)
    # A ring that fails never changes the answer: repair rings again.
    transaction.on_commit(dispatch.ring, robust=True)
    return job


def speech_duration(checked: Inputs, order: SpeakingOrder, limits: Limits) -> Fraction:
    """Length of the video in seconds.

    Raises:
        Problem: `validation_error` with `audio_too_long` when two speeches in turn pass the plan's limit.
    """
    durations = [inputs.duration_of(speech) for speech in checked.speech]
    total = max(durations) if order is SpeakingOrder.TOGETHER else sum(durations, Fraction())
    if total > limits.max_speech_seconds:
        detail = f"Both speeches together may last {limits.max_speech_seconds} s."
        raise invalid(FieldError("audio_2", "audio_too_long", detail))
    return total


def retry_job(*, tenant: Tenant, job: Job) -> Job:
    """Queue a new job from the same inputs.

    Raises:
        Problem: `conflict` while the job hasn't ended, `expired` once its inputs are gone,
            `queue_full` or `quota_exceeded`. Nothing is left behind then.
    """
    if job.status in OPEN:
        raise Problem("conflict", f"The job is {job.status}; only one that has ended can be retried.")
    if job.expired:
        raise Problem("expired", "The job's inputs are gone.")
    job_id = new_id("job")
    prefix = storage_keys.inputs_prefix(tenant.organization.pk, job_id)
    with _removed_unless_kept(prefix):
        copy = _asked_again(job, tenant, job_id)
        copy.inputs = inputs.copy(job.inputs, prefix)
        return _insert(copy, tenant)


def _asked_again(job: Job, tenant: Tenant, job_id: str) -> Job:
    same = {field: getattr(job, field) for field in ASKED_FIELDS}
    return Job(
        **same,
        id=job_id,
        retry_of=job,
        organization=tenant.organization,
        api_key=tenant.api_key,
        created_by=tenant.user,
        livemode=tenant.livemode,
        retention_seconds=tenant.limits.retention_seconds,
        price_per_video_second_usd=tenant.limits.price_per_video_second_usd,
    )


def delete_job(*, job: Job) -> None:
    """Remove a job's files at once; a queued one is canceled first. The record stays, as expired.

    Raises:
        Problem: `conflict` while the job is rendered.
    """
    if transitions.cancel(job.id):
        _tell_worker_to_cancel(job.id)
    job.refresh_from_db()
    if job.status in OPEN:
        raise Problem("conflict", "The job is being rendered; cancel it first.")
    retention.expire(job)


def cancel_job(*, job: Job) -> Job:
    """Cancel a queued job at once; ask a running one to stop between two steps.

    Raises:
        Problem: `conflict` when the job has ended otherwise.
    """
    if not transitions.cancel(job.id) and not transitions.request_cancel(job.id):
        job.refresh_from_db()
        if job.status != Status.CANCELED:
            raise Problem("conflict", f"The job has {job.status} already.")
        return job
    _tell_worker_to_cancel(job.id)
    job.refresh_from_db()
    return job


def _tell_worker_to_cancel(job_id: str) -> None:
    try:
        with dispatch.redis_client() as redis:
            signals.request_stop(redis, job_id, signals.Stop.CANCEL)
    except RedisError:
        log.exception("the worker of %s can't be told to cancel; repair will tell it", job_id)
