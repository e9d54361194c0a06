"""Inputs at addresses: fetched by the `outbound` workers while the job waits.

The job's row is the truth, the queue only triggers the work. One worker at a time fetches for a job, for
which it holds a lock of the database; that goes with its connection, so a fetch whose worker is lost is
noticed by `operations.reconcile` and begun again, until the job's deadline.
"""

import logging
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

from django.db.models import Q
from django.utils import timezone
from redis.exceptions import RedisError

from accounts.limits import Limits, effective_limits
from avatar_api.common.advisory_lock import advisory_lock
from avatar_api.common.redis import redis_client
from gpu_worker.contract import storage_keys
from gpu_worker.contract.queues import enqueue
from gpu_worker.contract.spec import ReferenceKind, RenderParameters, SpeakingOrder
from jobs import tracing
from jobs.intake import framing, inputs, sources
from jobs.intake.inputs import CheckedFile
from jobs.intake.normalize import IntakeError
from jobs.intake.requests import AudioChannels, RequestedFile, requested_file
from jobs.intake.sources import Remote, SourceError
from jobs.lifecycle import drafts, retention, transitions
from jobs.models import Job
from jobs.queues import FETCH_FUNCTION, outbound_queue
from jobs.states import Status

log = logging.getLogger(__name__)

MAX_TIME = timedelta(minutes=15)
"""From a job's creation: the wait for a worker, and the fetch itself."""
MAX_FILE_SECONDS = 300.0
TOO_LATE = "The files could not be downloaded in time."

FETCHING = Q(status=Status.QUEUED, urls__isnull=False)


def enqueue_fetches(*job_ids: str) -> None:
    """Have the inputs of jobs fetched; what fails here is left to `reconcile_fetches`."""
    try:
        with redis_client() as redis:
            queue = outbound_queue(redis)
            for job_id in job_ids:
                enqueue(queue, FETCH_FUNCTION, job_id, rq_id=f"fetch-{job_id}")
    except RedisError:
        log.exception("the outbound queue can't be reached; reconcile will enqueue again")


def reconcile_fetches() -> int:
    """Fail the jobs whose deadline has passed, and enqueue again those that nobody fetches for.

    Returns:
        How many fetches were enqueued again.
    """
    now = timezone.now()
    for job_id in Job.objects.filter(FETCHING, fetch_deadline__lte=now).values_list("id", flat=True):
        transitions.fail_fetch(job_id, "download_failed", TOO_LATE)
    waiting = Job.objects.filter(FETCHING).values_list("id", flat=True)
    with redis_client() as redis:
        known = set(outbound_queue(redis).job_ids)
    lost = [job_id for job_id in waiting if f"fetch-{job_id}" not in known and not _is_being_fetched(job_id)]
    enqueue_fetches(*lost)
    return len(lost)


def fetch_inputs(job_id: str) -> None:
    """Fetch, check and store what a job waits for, unless somebody else does."""
    with _lock_of(job_id) as mine:
        job = (
            Job.objects.filter(FETCHING, pk=job_id)
            .select_related("organization__plan", "organization__test_plan", "api_key")
            .first()
        )
        if job is not None and mine:
            with tracing.work_for(job, "fetch"):
                _fetch(job)


def _fetch(job: Job) -> None:
    limits = effective_limits(job.organization, job.api_key, livemode=job.livemode)
    try:
        with inputs.scratch_folder() as scratch:
            fetched = [part for file in _files_of(job) for part in _fetched(job, file, limits, scratch)]
            _take_in(job, fetched, limits)
    except (SourceError, IntakeError) as error:
        transitions.fail_fetch(job.id, error.code, error.detail)


def _files_of(job: Job) -> list[RequestedFile]:
    assert job.urls is not None
    channels = AudioChannels(job.audio_channels)
    files = [requested_file(field, Remote(url), channels) for field, url in job.urls.items()]
    return [file for file in files if channels is AudioChannels.MIX or file.name != "audio_2"]


def _fetched(job: Job, file: RequestedFile, limits: Limits, scratch: Path) -> list[CheckedFile]:
    """Raises: SourceError, IntakeError: with the field in front of what is wrong."""
    assert job.fetch_deadline is not None
    assert isinstance(file.source, Remote)
    left = (job.fetch_deadline - timezone.now()).total_seconds()
    if left <= 0:
        raise SourceError("download_failed", TOO_LATE)
    try:
        path = sources.fetch(
            file.source,
            max_bytes=limits.max_upload_bytes,
            seconds=min(left, MAX_FILE_SECONDS),
            folder=scratch,
        )
        owner = inputs.owner_of(job.organization_id, livemode=job.livemode)
        return inputs.probed(file, path, limits, scratch, owner)
    except (SourceError, IntakeError) as error:
        raise type(error)(error.code, f"{file.field}: {error.detail}") from error


def _take_in(job: Job, fetched: list[CheckedFile], limits: Limits) -> None:
    """Store what was fetched, and let the job go on.

    Raises:
        IntakeError: `audio_too_long` for the plan, or for what could be reserved of the month;
            `image_too_small` for the crop.
    """
    kind = ReferenceKind(job.reference_kind)
    items = inputs.names_of(job.inputs, kind) | {file.name: inputs.item_of(file) for file in fetched}
    arranged = inputs.arrange(items, kind)
    framing.refuse_tiny(job.shown_crop, arranged["reference"])
    duration = inputs.duration_of(arranged, SpeakingOrder(job.speaking_order), limits)
    length = drafts.length_of(duration)
    if length.reserved_seconds > job.reserved_seconds:
        lasts, available = length.reserved_seconds, job.reserved_seconds
        detail = f"The speech lasts {lasts:.1f} s, but only {available:.1f} s were available."
        raise IntakeError("audio_too_long", detail)
    prefix = storage_keys.inputs_prefix(job.organization_id, job.id)
    stored = inputs.arrange(items | inputs.store(fetched, prefix), kind)
    parameters = RenderParameters.read(job.plain_parameters())
    stored["reference"] = inputs.framed(stored, parameters["speaker_boxes"], parameters["resolution"])
    if not transitions.take_in(job.id, stored, length):
        _remove_unless_kept(job)


def _remove_unless_kept(job: Job) -> None:
    """A job that was deleted meanwhile, or forgotten, would leave what was stored after that."""
    if not Job.objects.filter(pk=job.pk, expired=False).exists():
        retention.expire(job)


def _is_being_fetched(job_id: str) -> bool:
    with _lock_of(job_id) as mine:
        return not mine


def _lock_of(job_id: str) -> AbstractContextManager[bool]:
    return advisory_lock(f"fetch {job_id}")
