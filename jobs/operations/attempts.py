"""Which attempts are lost, looked at every second.

An attempt is lost once its worker's process is known to have ended, once its worker reports that it does
something else, or once its lease has been silent for LEASE_SECONDS of the time in which Redis was reachable.
Reports of that worker that wait to be recorded count before.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer

from avatar_api.common.redis import is_away
from gpu_worker.contract import coordination, heartbeats, reading, storage_keys
from gpu_worker.contract.coordination import Lease
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.heartbeats import Heard
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import RenderJob, render_job_id, render_queue, report_queue
from gpu_worker.contract.reading import UnreadableError
from gpu_worker.contract.result import RenderResult
from jobs import queues
from jobs.each import for_each
from jobs.lifecycle import transitions
from jobs.models import Job, LeaseWatch
from jobs.states import Status

log = logging.getLogger(__name__)

CONTRADICTION_SECONDS = 5.0
"""A worker that has said something else for so long has sent the last report of the attempt before."""
OUTAGE_SECONDS = 5.0
"""Looks come every second; when none came for longer, nobody was able to hear anybody."""
DISPATCH_SECONDS = 3.0
"""What enqueuing may take after a dispatch was committed."""

DISPATCHED = Q(status=Status.QUEUED, dispatched_at__isnull=False)


@dataclass(frozen=True)
class Loss:
    """Why an attempt is given up.

    Attributes:
        reason: `gone`, `contradicted` or `silent`.
        silent_seconds: For how long its worker hadn't said that it has it.
    """

    reason: str
    silent_seconds: float


@dataclass(frozen=True)
class Heartbeats:
    """What workers say, and which of them have ended."""

    by_name: Mapping[str, Heard]
    gone: frozenset[str]


@dataclass(frozen=True)
class Reconciled:
    """How much one look has changed.

    Attributes:
        lost: Attempts that were given up.
        rescued: Attempts without a worker that turned out to be finished.
        undispatched: Dispatched attempts that the queue had lost.
    """

    lost: int
    rescued: int
    undispatched: int


def reconcile_attempts(redis: Redis) -> Reconciled:
    """One look at all attempts.

    Raises:
        RedisError: Redis is away: then nothing is known, and nothing is changed.
        Exception: The store or the database is.
    """
    pending = _pending_reports(redis)
    processing = list(Job.objects.filter(status=Status.PROCESSING))
    leases = coordination.read_leases(redis, [(job.id, job.attempt) for job in processing])
    now = timezone.now()
    outage = _note_look(now)
    if outage:
        for job in processing:
            job.refresh_from_db(fields=["lease_missing_since"])
    heard = _heartbeats(redis, processing, leases)
    pairs = list(zip(processing, leases, strict=True))
    outcomes = for_each(pairs, lambda pair: _check(*pair, heard, pending, now, outage), "attempt")
    # What a worker took and whose first report was lost is processing from the next look on.
    undispatched = for_each(
        Job.objects.filter(DISPATCHED), lambda job: _undispatch_if_lost(job, redis, pending), "dispatched job"
    )
    return Reconciled(outcomes.count("lost"), outcomes.count("rescued"), sum(undispatched))


def _note_look(now: datetime) -> timedelta:
    """Note this look; returns how long leases couldn't be looked at before, by which silences are paused."""
    with transaction.atomic():
        watch, _ = LeaseWatch.objects.select_for_update().get_or_create(
            pk=LeaseWatch.ONLY, defaults={"looked_at": now}
        )
        pause = now - watch.looked_at
        watch.looked_at = now
        watch.save(update_fields=["looked_at"])
        if pause < timedelta(seconds=OUTAGE_SECONDS):
            return timedelta()
        silent = Job.objects.filter(status=Status.PROCESSING, lease_missing_since__isnull=False)
        silent.update(lease_missing_since=F("lease_missing_since") + pause)
        return pause


def _pending_reports(redis: Redis) -> frozenset[str]:
    """The attempts of which a report waits, or is being taken down, as RQ names them."""
    queue = report_queue(redis)
    names = {*queues.waiting_ids(queue), *queues.taken_ids(queue), *queues.begun_ids(queue)}
    return frozenset("-".join(name.split("-")[:2]) for name in names)


def _heartbeats(redis: Redis, processing: list[Job], leases: list[Lease | None]) -> Heartbeats:
    holders = {lease.worker for lease in leases if lease} | {job.worker for job in processing if job.worker}
    return Heartbeats(heartbeats.read_all(redis), frozenset(heartbeats.read_gone(redis, holders)))


def _check(
    job: Job,
    lease: Lease | None,
    heard: Heartbeats,
    pending: frozenset[str],
    now: datetime,
    outage: timedelta,
) -> str:
    is_newly_missing = lease is None and job.lease_missing_since is None
    _note_heard(job, lease, now, outage)
    if render_job_id(job.id, job.attempt) in pending:
        return "left"
    loss = loss_of(job, lease, heard, now)
    # A render that has ended is looked for at once: a report that Redis has lost is missed for no minute.
    if (loss or is_newly_missing) and rescue(job):
        return "rescued"
    if loss is None:
        return "left"
    log.warning("attempt %s of %s is lost: its worker is %s", job.attempt, job.id, loss.reason)
    facts = {"reason": loss.reason, "silent_seconds": round(loss.silent_seconds, 1)}
    return "lost" if transitions.lose(job.id, job.attempt, **facts) else "settled"


def _note_heard(job: Job, lease: Lease | None, now: datetime, outage: timedelta) -> None:
    """Keep who has the attempt, and since when that wasn't said again, where either has changed."""
    silent = timedelta(seconds=lease.silent_seconds) if lease else timedelta()
    since = job.lease_missing_since
    if lease and silent <= timedelta(seconds=heartbeats.overdue_seconds()):
        since = None
    elif since is None:
        since = now - max(timedelta(), silent - outage)
    worker = lease.worker[:128] if lease else job.worker
    if (since, worker) != (job.lease_missing_since, job.worker):
        job.lease_missing_since, job.worker = since, worker
        current = Job.objects.filter(pk=job.pk, attempt=job.attempt, status=Status.PROCESSING)
        current.update(lease_missing_since=since, worker=worker)


def loss_of(job: Job, lease: Lease | None, heard: Heartbeats, now: datetime) -> Loss | None:
    """Why the attempt is lost, or None where its worker may have it still."""
    silent = (now - job.lease_missing_since).total_seconds() if job.lease_missing_since else 0.0
    silent = max(silent, lease.silent_seconds if lease else 0.0)
    if job.worker in heard.gone:
        return Loss("gone", silent)
    beat = heard.by_name.get(job.worker)
    if beat and beat.is_current and (job.id, job.attempt) not in beat.heartbeat.attempts:
        if beat.same_for_seconds >= CONTRADICTION_SECONDS:
            return Loss("contradicted", silent)
    elif job.lease_missing_since and now - job.lease_missing_since >= _lease_time():
        return Loss("silent", silent)
    return None


def _lease_time() -> timedelta:
    return timedelta(seconds=coordination.LEASE_SECONDS)


def rescue(job: Job) -> bool:
    """Take down a render whose worker finished it and died before its last report arrived."""
    prefix = storage_keys.attempt_prefix(job.organization_id, job.id, job.attempt)
    key = storage_keys.result(prefix)
    if not default_storage.exists(key):
        return False
    with default_storage.open(key) as file:
        content = file.read(reading.MAX_BYTES + 1)
    try:
        result = RenderResult.from_json(content)
    except UnreadableError as error:
        reading.dropped("result.json", error)
        return False
    transitions.start(job.id, job.attempt)
    transitions.finish_window(job.id, job.attempt, job.windows, prefix, result.gpu_seconds)
    return transitions.succeed(job.id, job.attempt, result.video, result.receipt, result.gpu_seconds)


def _undispatch_if_lost(job: Job, redis: Redis, pending: frozenset[str]) -> bool:
    """Let an attempt wait again whose entry the queue has lost before any worker took it."""
    assert job.dispatched_at is not None
    if timezone.now() - job.dispatched_at < timedelta(seconds=DISPATCH_SECONDS):
        return False  # It was enqueued, or is being enqueued, a moment ago.
    rq_id = render_job_id(job.id, job.attempt)
    if rq_id in pending:
        return False
    is_queued = _is_queued(rq_id, redis)
    if is_queued is None:
        return not rescue(job) and transitions.undispatch(job.id, job.attempt)
    if not is_queued:
        # A worker took it and its first report was lost: from now on its lease tells.
        transitions.start(job.id, job.attempt)
        return False
    queue = render_queue(lane_of(EngineName(job.engine), PresetName(job.preset)), redis)
    if redis.lpos(queue.key, rq_id) is not None:
        return False
    # A worker took it and was lost before it could say so. One that is about to say so will be superseded.
    return transitions.undispatch(job.id, job.attempt)


def _is_queued(rq_id: str, redis: Redis) -> bool | None:
    """Whether an attempt's entry waits for a worker; None where there is none, or none that can be read."""
    try:
        return bool(RenderJob.fetch(rq_id, connection=redis, serializer=JSONSerializer).is_queued)
    except NoSuchJobError:
        return None
    except Exception as error:  # RQ's reading of a job raises whatever its content provokes.
        if isinstance(error, RedisError) and is_away(error):
            raise
        reading.dropped("a queue's entry", error)
        return None
