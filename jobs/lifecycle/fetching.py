"""Inputs that aren't there yet: fetched from addresses, or spoken from texts, while the job waits.

`outbound` workers fetch. A job with a text is left to the `speech-cpu` workers, with whatever else it waits
for: a model takes a machine's cores, and nobody's files are to wait for it.

The job's row is the truth, the queue only says that there is something to do. A worker holds a lease in the
row, which it renews while it fetches; when that is over, another begins again, until the job's deadline.
Tenants have fair shares of the workers. What a worker of the release before fetches has no lease: the same
files may be fetched twice then, and count once.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.db import transaction
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

from accounts.limits import Limits, effective_limits
from avatar_api.common.advisory_lock import lock_until_commit
from avatar_api.common.outbound import Interrupt, InterruptedExchangeError
from avatar_api.common.redis import redis_client
from gpu_worker.contract import storage_keys
from gpu_worker.contract.framing import frames_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import enqueue
from gpu_worker.contract.spec import ReferenceKind, RenderParameters, SpeakingOrder
from jobs import tracing
from jobs.intake import framing, inputs, sources
from jobs.intake.inputs import CheckedFile
from jobs.intake.normalize import IntakeError
from jobs.intake.requests import AudioChannels, RequestedFile, requested_file
from jobs.intake.sources import Remote, SourceError
from jobs.intake.speech import synthesis
from jobs.intake.speech.fields import TEXT_FIELDS
from jobs.intake.speech.texts import Spoken, TextError
from jobs.lifecycle import drafts, retention, transitions
from jobs.models import Job
from jobs.queues import FETCH_FUNCTION, outbound_queue, speech_queue, waiting_ids
from jobs.scheduling import fair_claims
from jobs.scheduling.fair_claims import Lane, Waiting
from jobs.scheduling.fair_queue import TenantKey
from jobs.states import Status

log = logging.getLogger(__name__)

MAX_TIME = timedelta(minutes=15)
"""From a job's creation: the wait for a worker, and the fetch itself."""
MAX_FILE_SECONDS = 300.0
TOO_LATE = ("download_failed", "The files could not be downloaded in time.")
SAID_TOO_LATE = ("speech_failed", "The speech could not be made in time.")

LEASE = timedelta(seconds=15)
AT_ONCE_OF_ONE_TENANT = 4
"""Jobs whose files are fetched: servers may take minutes, and others need places too."""

FETCHING = Q(status=Status.QUEUED, urls__isnull=False)
# JSON that holds these keys, whatever the voices are.
SPEAKING = Q(inputs__contains={"speech": [{"facts": {"voices": []}}]})

due = threading.Event()
"""Set when the queue says that there is something to fetch."""

# A probe may take a core and more than a gigabyte: one in a process, however many files arrive.
_probing = threading.Lock()


@dataclass(frozen=True)
class Fetch:
    """A job whose files this process fetches."""

    job_id: str
    interrupt: Interrupt = field(default_factory=Interrupt)


def is_speaking(job: Job) -> bool:
    return any("voices" in item["facts"] for item in job.inputs["speech"])


def enqueue_fetches(*job_ids: str, speaking: bool) -> None:
    """Have the inputs of jobs fetched or said; what fails here is left to `reconcile_fetches`."""
    try:
        with redis_client() as redis:
            queue = _queue(redis, speaking)
            for job_id in job_ids:
                enqueue(queue, FETCH_FUNCTION, job_id, rq_id=f"fetch-{job_id}")
    except RedisError:
        log.exception("the queue of fetches can't be reached; reconcile will enqueue again")


def _queue(redis: Redis, speaking: bool) -> Queue:
    return speech_queue(redis) if speaking else outbound_queue(redis)


def reconcile_fetches() -> int:
    """Fail the jobs whose deadline has passed, and enqueue again those that could be fetched for now.

    Returns:
        How many fetches were enqueued again.
    """
    for job in Job.objects.filter(FETCHING, fetch_deadline__lte=timezone.now()).only("inputs"):
        transitions.fail_fetch(job.id, *(SAID_TOO_LATE if is_speaking(job) else TOO_LATE))
    return sum(_enqueue_lost(speaking) for speaking in (False, True))


def _enqueue_lost(speaking: bool) -> int:
    with redis_client() as redis:
        known = set(waiting_ids(_queue(redis, speaking)))
    next_ids = _next_ids(fair_claims.LOOKED_AT, speaking)
    lost = [job_id for job_id in next_ids if f"fetch-{job_id}" not in known]
    enqueue_fetches(*lost, speaking=speaking)
    return len(lost)


@transaction.atomic
def claim_fetches(places: int, *, speaking: bool = False) -> list[Fetch]:
    """Lease the jobs whose turn it is to this process, `places` at most: those with a text, or the others."""
    lock_until_commit("claim fetches")  # So that bounds hold between processes.
    next_ids = _next_ids(places, speaking)
    rows = _free().select_for_update(of=("self",), skip_locked=True).filter(pk__in=next_ids)
    fetches = [Fetch(job_id) for job_id in rows.values_list("id", flat=True)]
    renew_leases(fetches)
    return fetches


def _free() -> QuerySet[Job]:
    now = timezone.now()
    free = Q(fetch_leased_until__isnull=True) | Q(fetch_leased_until__lte=now)
    return Job.objects.filter(FETCHING, free, fetch_deadline__gt=now)


def _next_ids(places: int, speaking: bool) -> list[str]:
    kind = SPEAKING if speaking else ~SPEAKING
    turn = Window(RowNumber(), partition_by=[F("organization"), F("livemode")], order_by="id")
    first = (
        _free()
        .filter(kind)
        .annotate(turn=turn)
        .filter(turn__lte=AT_ONCE_OF_ONE_TENANT)
        .order_by("turn", "id")
    )
    rows = first.values_list("id", "organization_id", "livemode")[: fair_claims.LOOKED_AT]
    leased = Job.objects.filter(FETCHING, kind, fetch_leased_until__gt=timezone.now())
    in_work = Counter(
        Lane(TenantKey(*tenant)) for tenant in leased.values_list("organization_id", "livemode")
    )
    waiting = [
        Waiting(job_id, Lane(TenantKey(organization_id, livemode)))
        for job_id, organization_id, livemode in rows
    ]
    return fair_claims.choose(waiting, in_work, lambda _: AT_ONCE_OF_ONE_TENANT, places)


def renew_leases(fetches: Iterable[Fetch]) -> None:
    """Keep what this process fetches, and interrupt what waits for its files no more, as it was canceled."""
    by_job = {fetch.job_id: fetch for fetch in fetches}
    waiting = Job.objects.filter(FETCHING, pk__in=by_job)
    for gone in by_job.keys() - set(waiting.values_list("id", flat=True)):
        by_job[gone].interrupt.request()
    waiting.update(fetch_leased_until=timezone.now() + LEASE)


def give_back(fetches: Iterable[Fetch]) -> None:
    """End this process's part in fetches that another is to make."""
    by_job = {fetch.job_id: fetch for fetch in fetches}
    for fetch in by_job.values():
        fetch.interrupt.request()
    Job.objects.filter(FETCHING, pk__in=by_job).update(fetch_leased_until=None)


def fetch_inputs(fetch: Fetch) -> None:
    """Fetch, check and store what a job waits for."""
    waiting = Job.objects.filter(FETCHING, pk=fetch.job_id)
    job = waiting.select_related("organization__plan", "organization__test_plan", "api_key").first()
    if job is not None:
        with tracing.work_for(job, "fetch"):
            _fetch(job, fetch.interrupt)


def _fetch(job: Job, interrupt: Interrupt) -> None:
    limits = effective_limits(job.organization, job.api_key, livemode=job.livemode)
    try:
        with inputs.scratch_folder() as scratch:
            fetched = [
                part for file in _files_of(job) for part in _fetched(job, file, limits, scratch, interrupt)
            ]
            _take_in(job, fetched, limits)
    except InterruptedExchangeError:
        log.info("the fetch was interrupted")
    except (SourceError, TextError, IntakeError) as error:
        transitions.fail_fetch(job.id, error.code, error.detail)


def _files_of(job: Job) -> list[RequestedFile]:
    assert job.urls is not None
    channels = AudioChannels(job.audio_channels)
    files = [
        requested_file(field, _source_of(field, pending), channels) for field, pending in job.urls.items()
    ]
    return [file for file in files if channels is AudioChannels.MIX or file.name != "audio_2"]


def _source_of(field: str, pending: str) -> Remote | Spoken:
    return Spoken.from_json(pending) if field in TEXT_FIELDS else Remote(pending)


def _fetched(
    job: Job, file: RequestedFile, limits: Limits, scratch: Path, interrupt: Interrupt
) -> list[CheckedFile]:
    """Raises: SourceError, TextError, IntakeError: with the field in front of what is wrong."""
    assert job.fetch_deadline is not None
    left = (job.fetch_deadline - timezone.now()).total_seconds()
    if left <= 0:
        raise SourceError(*TOO_LATE)
    try:
        path = _local_file(file, limits, scratch, min(left, MAX_FILE_SECONDS), interrupt)
        owner = inputs.owner_of(job.organization_id, livemode=job.livemode)
        with _probing:
            return inputs.probed(file, path, limits, scratch, owner)
    except (SourceError, TextError, IntakeError) as error:
        raise type(error)(error.code, f"{file.field}: {error.detail}") from error


def _local_file(
    file: RequestedFile, limits: Limits, scratch: Path, seconds: float, interrupt: Interrupt
) -> Path:
    """Raises: SourceError, TextError, InterruptedExchangeError."""
    if isinstance(file.source, Spoken):
        path = sources.new_file(scratch)
        synthesis.speak(file.source, path, max_seconds=limits.max_speech_seconds, time_limit=seconds)
        return path
    assert isinstance(file.source, Remote)
    return sources.fetch(
        file.source,
        max_bytes=limits.max_upload_bytes,
        seconds=seconds,
        folder=scratch,
        interrupt=interrupt,
    )


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
    length = drafts.length_of(duration, PresetName(job.preset))
    if length.reserved_seconds > job.reserved_seconds:
        lasts, available = length.reserved_seconds, job.reserved_seconds
        detail = f"The speech lasts {lasts:.1f} s, but only {available:.1f} s were available."
        raise IntakeError("audio_too_long", detail)
    prefix = storage_keys.inputs_prefix(job.organization_id, job.id)
    stored = inputs.arrange(items | inputs.store(fetched, prefix), kind)
    parameters = RenderParameters.read(job.plain_parameters())
    stored["reference"] = inputs.framed(
        stored, parameters["speaker_boxes"], frames_of(parameters["resolution"], parameters["preset"])
    )
    if not transitions.take_in(job.id, stored, length):
        _remove_unless_kept(job)


def _remove_unless_kept(job: Job) -> None:
    """A job that was deleted meanwhile, or forgotten, would leave what was stored after that."""
    if not Job.objects.filter(pk=job.pk, expired=False).exists():
        retention.expire(job)
