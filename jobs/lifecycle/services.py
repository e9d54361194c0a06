"""What can be done with jobs on behalf of a tenant. Each verb owns its transaction."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.db import Error, transaction
from django.utils import timezone
from redis.exceptions import RedisError

from accounts import idempotency
from accounts.creation_order import creation_time
from accounts.idempotency import IdempotentRequest
from accounts.tenancy import Tenant
from avatar_api.common.after_commit import after_commit
from avatar_api.common.ids import new_id
from avatar_api.common.problems import FieldError, Problem, invalid
from avatar_api.common.redis import redis_client
from avatar_api.common.request_id import request_id
from avatar_api.common.transient_errors import drop_lost_connection
from gpu_worker.common import logs, telemetry
from gpu_worker.contract import coordination, storage_keys
from gpu_worker.contract.engines import EngineName
from jobs.billing import quotas
from jobs.intake import blocked_pictures, inputs
from jobs.intake.normalize import IntakeError
from jobs.intake.requests import JobRequest
from jobs.lifecycle import consents, drafts, fetching, retention, transitions
from jobs.models import Job, JobEvent
from jobs.scheduling import dispatch
from jobs.states import OPEN, Status
from jobs.storage import objects

log = logging.getLogger(__name__)

# What a retry takes over of its job beside the parameters of the render.
KEPT_BY_RETRY = (
    "engine",
    "audio_channels",
    "crop",
    "metadata",
    "consent",
    "reference_kind",
    "webhook_url",
    "urls",
    "num_frames",
    "windows",
    "reserved_seconds",
)


def create_job(
    *, tenant: Tenant, job_request: JobRequest, idempotent: IdempotentRequest | None = None
) -> Job:
    """Check the inputs, keep a normalised copy of them, and queue a job.

    Files at an address are fetched later; the job waits for them.

    Raises:
        Problem: `not_in_plan`, `payload_too_large`, `validation_error` with the file's fault,
            `queue_full`, `quota_exceeded`, `service_unavailable` or `idempotency_key_in_use`. Nothing is left
            behind then.
    """
    quotas.refuse_overload()
    drafts.check_plan(job_request, tenant.limits)
    consents.check(job_request.consent, tenant.limits)
    drafts.check_weights(job_request.preset, drafts.engine_for(tenant))
    drafts.check_texts(job_request, tenant.limits)
    job_id = new_id("job")
    logs.bind(job=job_id)
    prefix = storage_keys.inputs_prefix(tenant.organization.pk, job_id)
    with (
        idempotency.claimed(tenant, idempotent),
        inputs.scratch_folder() as scratch,
        _removed_unless_kept(job_id, prefix),
    ):
        stored = inputs.store(inputs.check(job_request, tenant, scratch), prefix)
        return _insert(drafts.draft(job_id, tenant, job_request, stored), tenant, idempotent)


@contextmanager
def _removed_unless_kept(job_id: str, prefix: str) -> Iterator[None]:
    """Take the inputs back where their job isn't made.

    A commit may have happened although its answer was lost; while nobody can tell, the inputs stay.
    """
    try:
        yield
    except Error:
        drop_lost_connection()
        if not Job.objects.filter(pk=job_id).exists():
            objects.delete_prefix(prefix)
        raise
    except BaseException:
        objects.delete_prefix(prefix)
        raise


@transaction.atomic
def _insert(job: Job, tenant: Tenant, idempotent: IdempotentRequest | None = None) -> Job:
    seconds = job.reserved_seconds if job.num_frames else None
    job.created_at = creation_time(Job.objects.all(), tenant.organization, livemode=tenant.livemode)
    job.reserved_seconds = quotas.reserve(tenant=tenant, created_at=job.created_at, seconds=seconds)
    if job.urls is not None:
        job.fetch_deadline = timezone.now() + fetching.MAX_TIME
    job.request_id, job.traceparent = request_id.get(), telemetry.traceparent()
    job.save(force_insert=True)
    JobEvent.objects.create(job=job, type=Status.QUEUED, attempt=0)
    consents.record(job)
    idempotency.complete(tenant, idempotent, job.id)
    # A dispatch that fails never changes the answer: reconcile dispatches again.
    fetch = partial(fetching.enqueue_fetches, job.id, speaking=fetching.is_speaking(job))
    after_commit(dispatch.dispatch_jobs if job.urls is None else fetch)
    return job


def retry_job(*, tenant: Tenant, job: Job, idempotent: IdempotentRequest | None = None) -> Job:
    """Queue a new job from the same inputs.

    Raises:
        Problem: `conflict` while the job hasn't ended, `expired` once its inputs are gone,
            `validation_error` where nobody has its preset's weights any more, where it lacks the consent that
            the plan requires by now or its picture has been blocked, `queue_full`, `quota_exceeded` or
            `idempotency_key_in_use`. Nothing is left behind then.
    """
    if job.status in OPEN:
        raise Problem("conflict", f"The job is {job.status}; only a job that has ended can be retried.")
    if job.is_expired:
        raise Problem("expired", "The job's inputs have been deleted.")
    quotas.refuse_overload()
    consents.check(job.consent, tenant.limits)
    _refuse_blocked_picture(job)
    drafts.check_weights(job.preset, EngineName(job.engine))
    job_id = new_id("job")
    prefix = storage_keys.inputs_prefix(tenant.organization.pk, job_id)
    with idempotency.claimed(tenant, idempotent), _removed_unless_kept(job_id, prefix):
        copy = _copy_for_retry(job, tenant, job_id)
        copy.inputs = inputs.copy(job.inputs, prefix)
        return _insert(copy, tenant, idempotent)


def _refuse_blocked_picture(job: Job) -> None:
    try:
        blocked_pictures.refuse(job.inputs["reference"].get("picture_hash"))
    except IntakeError as error:
        raise invalid(FieldError("image", error.code, error.detail)) from error


def _copy_for_retry(job: Job, tenant: Tenant, job_id: str) -> Job:
    return Job(
        **job.plain_parameters(),
        **{field: getattr(job, field) for field in KEPT_BY_RETRY},
        id=job_id,
        retry_of=job,
        organization=tenant.organization,
        api_key=tenant.api_key,
        created_by=tenant.user,
        livemode=tenant.livemode,
        retention_seconds=tenant.limits.retention_seconds,
        price_per_video_second_usd=tenant.limits.price_per_video_second_usd,
    )


@transaction.atomic
def change_metadata(*, job: Job, metadata: dict[str, str]) -> Job:
    """Replace the job's metadata; whoever watches it is told."""
    Job.objects.filter(pk=job.pk).update(metadata=metadata)
    after_commit(partial(transitions.notify_watchers, job.pk))
    job.refresh_from_db()
    return job


def delete_job(*, job: Job) -> None:
    """Remove a job's files at once; a queued one is canceled first. The record stays, as expired.

    Raises:
        Problem: `conflict` while the job is rendered.
    """
    if transitions.cancel(job.id):
        _request_stop(job.id)
    job.refresh_from_db()
    if job.status in OPEN:
        raise Problem("conflict", "The job is being rendered. Cancel it first.")
    retention.expire(job)


def cancel_job(*, job: Job) -> Job:
    """Cancel a queued job at once; ask a running one to stop between two steps.

    Raises:
        Problem: `conflict` when the job has ended otherwise.
    """
    if not transitions.cancel(job.id) and not transitions.request_cancel(job.id):
        job.refresh_from_db()
        if job.status != Status.CANCELED:
            raise Problem("conflict", f"The job has already {job.status}.")
        return job
    _request_stop(job.id)
    job.refresh_from_db()
    return job


def _request_stop(job_id: str) -> None:
    try:
        with redis_client() as redis:
            coordination.request_stop(redis, job_id, coordination.Stop.CANCEL)
    except RedisError:
        log.exception("the cancel request of %s can't be sent; reconcile will repeat it", job_id)
