"""What is to be expected of jobs that haven't ended: progress, place in the queue, time until the end.

One query tells of all that wait and run on an engine, and one simulation what comes of it: once a moment for
all of a tenant's jobs, however many clients ask.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from threading import Lock
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Max, Q
from django.utils import timezone
from redis.exceptions import RedisError
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from accounts.limits import effective_limits, limit_in_sql
from avatar_api.common.redis import quick_client
from gpu_worker.contract import coordination
from gpu_worker.contract.coordination import Progress
from gpu_worker.contract.lanes import LANES
from jobs.models import Job, VirtualTime
from jobs.scheduling import simulation, window_times
from jobs.scheduling.fair_queue import Clock, Share, TenantKey
from jobs.scheduling.moments import Moments
from jobs.scheduling.simulation import Line, Piece, Prediction, Queue, Running
from jobs.scheduling.window_times import RenderKind, WindowSeconds
from jobs.states import OPEN, Status

log = logging.getLogger(__name__)

# A row for each job that is at work or the asking tenant's, and one for each kind of others' waiting jobs.
STANDING = f"""
    SELECT job.*, {limit_in_sql("weight", "job.livemode")},
           {limit_in_sql("concurrent_jobs", "job.livemode")}, served.finish,
           (SELECT max(start) FROM jobs_virtualtime WHERE engine = %(engine)s)
    FROM (
        SELECT engine, organization_id, livemode, preset, resolution,
               CASE WHEN status = 'processing' OR rung_at IS NOT NULL
                         OR organization_id = %(organization)s AND livemode = %(livemode)s
                    THEN id END AS job_id,
               count(*), min(id) AS oldest, sum(windows), sum(jsonb_array_length(window_prefixes)),
               bool_or(status = 'processing') AS is_running, bool_or(rung_at IS NOT NULL) AS is_sent,
               min(attempt), min(attempt_started_at),
               sum(CASE WHEN status = 'processing' THEN (
                   SELECT count(*) FROM jsonb_array_elements_text(window_prefixes) AS prefix
                   WHERE prefix NOT LIKE '%%/a' || attempt || '/'
               ) ELSE 0 END)::bigint
        FROM jobs_job
        WHERE engine = %(engine)s AND (status = 'processing' OR status = 'queued' AND urls IS NULL)
        GROUP BY engine, organization_id, livemode, preset, resolution, job_id
    ) AS job
    JOIN accounts_organization AS organization ON organization.id = job.organization_id
    JOIN accounts_plan AS plan
        ON plan.code = CASE WHEN job.livemode THEN organization.plan_id ELSE organization.test_plan_id END
    LEFT JOIN jobs_virtualtime AS served
        ON served.engine = job.engine AND served.organization_id = job.organization_id
        AND served.livemode = job.livemode
    WHERE organization.suspended_at IS NULL OR is_running OR is_sent
    ORDER BY oldest
"""  # noqa: S608 (the limits are named here)


@dataclass(frozen=True)
class LiveStatus:
    """What is known of a job beside its row; nothing of one that has ended.

    Attributes:
        progress: Of its current attempt.
        queue_position: Its place among the jobs of its engine that no worker has begun.
        eta_seconds: Until it will have ended, if nothing else came.
    """

    progress: Progress | None = None
    queue_position: int | None = None
    eta_seconds: float | None = None


class Row(NamedTuple):
    """A row of STANDING: one job, or `number` waiting ones of a tenant and a kind.

    Attributes:
        windows_before: Windows that were finished before the attempt in work began.
    """

    engine: str
    organization_id: str
    livemode: bool
    preset: str
    resolution: str
    job_id: str | None
    number: int
    oldest: str
    windows: int
    windows_done: int
    is_running: bool
    is_sent: bool
    attempt: int
    attempt_started_at: datetime | None
    windows_before: int
    weight: int
    concurrent_jobs: int
    finish: float | None
    now: float | None

    @property
    def tenant(self) -> TenantKey:
        return TenantKey(self.organization_id, self.livemode)

    @property
    def kind(self) -> RenderKind:
        return RenderKind(self.engine, self.preset, self.resolution)


@dataclass(frozen=True)
class RedisState:
    """What Redis tells; nothing when it is away."""

    progress: Mapping[str, Progress] = field(default_factory=dict)
    window_seconds: WindowSeconds = field(default_factory=dict)
    workers: int = 0


class Forecast:
    """What was expected of a tenant's jobs on an engine at one moment; it serves all who ask within it.

    Attributes:
        workers: Of the engine.
    """

    def __init__(self, tenant: TenantKey, engine: str, new: Job | None = None) -> None:
        """With `new`, as if that job of the tenant had just come."""
        rows = _rows(tenant, engine)
        rows += [_row_of_new(new)] if new else []
        live = _live([row.oldest for row in rows if row.is_running], engine)
        self.workers = live.workers
        self._window_seconds = live.window_seconds
        self._is_running = {row.job_id: row.is_running for row in rows if row.job_id and row.tenant == tenant}
        self._queue = _queue(tenant, rows, live, frozenset(self._is_running))
        self._lock = Lock()
        self._known = Prediction()
        self._predicted: set[str] = set()
        self._simulation = simulation.simulated(self._queue)

    def serves(self, jobs: Iterable[Job]) -> bool:
        """Whether each of these jobs is where it was, or has come since and waits behind the others."""
        return all(self._serves(job) for job in jobs)

    def of(self, jobs: Collection[Job]) -> Prediction:
        """What comes of these jobs, and of those that were predicted before."""
        with self._lock:
            ids = {job.id for job in jobs}
            if new := [job for job in jobs if job.id not in self._is_running]:
                self._add(sorted(new, key=attrgetter("created_at", "id")))
            if unknown := frozenset(ids - self._predicted):
                found = self._simulation.result(unknown)
                self._known = Prediction(
                    self._known.positions | found.positions, self._known.seconds | found.seconds
                )
                self._predicted |= unknown
            return self._known

    def _serves(self, job: Job) -> bool:
        is_running = job.status == Status.PROCESSING
        if job.id in self._is_running:
            return self._is_running[job.id] == is_running
        return not is_running and self._queue.tenant in self._queue.shares

    def _add(self, jobs: list[Job]) -> None:
        """See what comes of it all with jobs that have come since, the oldest first."""
        self._is_running |= {job.id: False for job in jobs}
        pieces = (Piece(job.id, _seconds_of_new(job, self._window_seconds)) for job in jobs)
        shown = frozenset(self._is_running)
        self._queue = replace(self._queue, own=(*self._queue.own, *pieces), shown=shown)
        self._simulation = simulation.simulated(self._queue)
        self._known, self._predicted = Prediction(), set()


_forecasts = Moments[tuple[TenantKey, str], Forecast]()


def live_status_of(jobs: Iterable[Job]) -> dict[str, LiveStatus]:
    """The prospects of those of a tenant's jobs that haven't ended, by id."""
    open_jobs = [job for job in jobs if job.status in OPEN]
    shown = [job for job in open_jobs if job.urls is None]  # No queue has those whose files are fetched.
    progress = _progress_of([job.id for job in shown if job.status == Status.PROCESSING])
    found = {job.id: LiveStatus() for job in open_jobs}
    for engine in {job.engine for job in shown}:
        own = [job for job in shown if job.engine == engine]
        forecast = _forecast_for(own, engine)
        predicted = forecast.of(own)
        found.update({job.id: _live_status(job, forecast.workers, predicted, progress) for job in own})
    return found


def expected_of(new: Job) -> LiveStatus:
    """The prospects that a job, not yet saved, would have if it came now."""
    tenant = TenantKey(new.organization_id, new.livemode)
    forecast = Forecast(tenant, new.engine, new)
    return _live_status(new, forecast.workers, forecast.of([new]), {})


def _forecast_for(jobs: list[Job], engine: str) -> Forecast:
    tenant = TenantKey(jobs[0].organization_id, jobs[0].livemode)
    return _forecasts.get(
        (tenant, engine),
        settings.FORECAST_SECONDS,
        make=lambda: Forecast(tenant, engine),
        fits=lambda forecast: forecast.serves(jobs),
    )


def _live_status(
    job: Job, workers: int, predicted: Prediction, progress: Mapping[str, Progress]
) -> LiveStatus:
    if job.status == Status.QUEUED:
        eta = predicted.seconds.get(job.id) if workers > 0 else None
        return LiveStatus(None, predicted.positions.get(job.id), _rounded(eta))
    current = progress.get(job.id)
    if current is None or current.attempt != job.attempt:
        return LiveStatus()
    return LiveStatus(current, None, _rounded(predicted.seconds.get(job.id)))


def _progress_of(running: list[str]) -> Mapping[str, Progress]:
    """Read anew for each request: watchers are shown every step."""
    try:
        return coordination.read_progress(quick_client(), running) if running else {}
    except RedisError:
        log.exception("live progress can't be read; the finished windows are shown")
        return {}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _rows(tenant: TenantKey, engine: str) -> list[Row]:
    organization, livemode = tenant.organization_id, tenant.livemode
    with connection.cursor() as cursor:
        cursor.execute(STANDING, {"organization": organization, "livemode": livemode, "engine": engine})
        return [Row(*row) for row in cursor.fetchall()]


def _row_of_new(job: Job) -> Row:
    limits = effective_limits(job.organization, livemode=job.livemode)
    own = Q(organization=job.organization_id, livemode=job.livemode)
    served = VirtualTime.objects.filter(engine=job.engine).aggregate(
        finish=Max("finish", filter=own), now=Max("start")
    )
    return Row(
        engine=job.engine,
        organization_id=job.organization_id,
        livemode=job.livemode,
        preset=job.preset,
        resolution=job.resolution,
        job_id=job.id,
        number=1,
        oldest=job.id,
        windows=job.windows,
        windows_done=0,
        is_running=False,
        is_sent=False,
        attempt=0,
        attempt_started_at=None,
        windows_before=0,
        weight=limits.weight,
        concurrent_jobs=limits.concurrent_jobs,
        **served,
    )


def _live(running: list[str], engine: str) -> RedisState:
    redis = quick_client()
    try:
        pipeline = redis.pipeline(transaction=False)
        pipeline.hgetall(window_times.KEY)
        pipeline.sunion([WORKERS_BY_QUEUE_KEY % lane.queue for lane in LANES if lane.engine == engine])
        window_seconds, workers = pipeline.execute()
        progress = coordination.read_progress(redis, running)
    except RedisError:
        log.exception("what workers do can't be read; only the queue is known")
        return RedisState()
    return RedisState(progress, window_times.parse(window_seconds), len(workers))


def _queue(tenant: TenantKey, rows: list[Row], live: RedisState, shown: frozenset[str]) -> Queue:
    running = tuple(_running(row, live) for row in rows if row.is_running)
    waiting = [row for row in rows if not row.is_running and not row.is_sent]
    sent = [row for row in rows if row.is_sent and not row.is_running]
    tenants = {row.tenant: row for row in rows}
    return Queue(
        tenant=tenant,
        shown=shown,
        workers=max(1, live.workers, len(running)),
        slice_seconds=settings.YIELD_AFTER_SECONDS,
        clock=_clock(tenants),
        shares={each: Share(row.weight, row.concurrent_jobs) for each, row in tenants.items()},
        own=tuple(_piece(row, live.window_seconds) for row in waiting if row.job_id is not None),
        lines=_lines([row for row in waiting if row.job_id is None], live.window_seconds),
        running=running,
        sent=tuple(Running(row.tenant, _piece(row, live.window_seconds)) for row in sent),
    )


def _clock(tenants: Mapping[TenantKey, Row]) -> Clock:
    now = next((row.now for row in tenants.values() if row.now is not None), 0.0)
    return Clock(now, {each: row.finish for each, row in tenants.items() if row.finish is not None})


def _lines(rows: list[Row], window_seconds: WindowSeconds) -> dict[TenantKey, Line]:
    of_tenants: dict[TenantKey, list[Row]] = defaultdict(list)
    for row in rows:
        of_tenants[row.tenant].append(row)
    return {
        tenant: Line(
            sum(row.number for row in line),
            sum(_seconds(row, window_seconds) for row in line),
            line[0].oldest,
        )
        for tenant, line in of_tenants.items()
    }


def _running(row: Row, live: RedisState) -> Running:
    progress = live.progress.get(row.oldest)
    if progress is None or progress.attempt != row.attempt or row.attempt_started_at is None:
        return Running(row.tenant, _piece(row, live.window_seconds))
    seconds = simulation.blended_seconds_left(
        fraction=progress.fraction,
        fraction_before=row.windows_before / max(1, row.windows),
        elapsed=(timezone.now() - row.attempt_started_at).total_seconds(),
        expected=row.windows * window_times.seconds_per_window(row.kind, live.window_seconds),
    )
    return Running(row.tenant, Piece(row.oldest, seconds))


def _piece(row: Row, window_seconds: WindowSeconds) -> Piece:
    return Piece(row.oldest, _seconds(row, window_seconds))


def _seconds_of_new(job: Job, window_seconds: WindowSeconds) -> float:
    kind = RenderKind(job.engine, job.preset, job.resolution)
    return job.windows * window_times.seconds_per_window(kind, window_seconds)


def _seconds(row: Row, window_seconds: WindowSeconds) -> float:
    return (row.windows - row.windows_done) * window_times.seconds_per_window(row.kind, window_seconds)
