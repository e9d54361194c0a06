"""What fairness needs to know of an engine's tenants, read from the database and written back."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count, F, Max, Q, Window
from django.db.models.functions import RowNumber

from accounts.limits import effective_limits
from avatar_api.common.advisory_lock import lock_until_commit
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.spec import SPEC_VERSION
from jobs.models import Job, VirtualTime
from jobs.scheduling import window_times
from jobs.scheduling.fair_queue import Candidate, Clock, Share, TenantKey
from jobs.scheduling.spec_versions import sendable_in
from jobs.scheduling.window_times import WindowSeconds
from jobs.states import Status

DISPATCH_LOCK = 0x6176_6174  # "avat"

# A job whose inputs are still to be fetched waits for these first.
WAITING = Q(status=Status.QUEUED, dispatched_at__isnull=True, urls__isnull=True)
ACTIVE = Q(status=Status.PROCESSING) | Q(status=Status.QUEUED, dispatched_at__isnull=False)


@dataclass(frozen=True)
class AtWork:
    """Jobs that were sent to workers.

    Attributes:
        by_tenant: Of all engines, since a tenant's limit holds for all of them.
        processing: Those of one engine and some presets that a worker has begun.
        unstarted_by_preset: Those of that engine and these presets that none has begun.
    """

    by_tenant: Counter[TenantKey]
    processing: int
    unstarted_by_preset: Counter[str]

    @property
    def unstarted(self) -> int:
        return self.unstarted_by_preset.total()


def lock_dispatch() -> None:
    """Let nobody else decide until the transaction ends.

    Locking the rows alone would let two count the same tenant's jobs and start too many.
    """
    lock_until_commit(DISPATCH_LOCK)


def has_waiting_jobs(engine: EngineName) -> bool:
    return Job.objects.filter(WAITING, engine=engine).exists()


def tenant_of(job: Job) -> TenantKey:
    return TenantKey(job.organization_id, job.livemode)


def share_of(job: Job) -> Share:
    limits = effective_limits(job.organization, livemode=job.livemode)
    return Share(limits.weight, limits.concurrent_jobs)


def candidate(job: Job, window_seconds: WindowSeconds, *, running: bool = False) -> Candidate:
    """The job with its next slice: what is left of it, and no more than may pass before it yields."""
    seconds = min(window_times.seconds_left(job, window_seconds), settings.YIELD_AFTER_SECONDS)
    return Candidate(job.id, seconds, running)


def first_of_each_tenant(
    engine: EngineName,
    depth: int,
    *,
    newest_version: int = SPEC_VERSION,
    presets: Collection[str] = frozenset(PresetName),
) -> dict[TenantKey, list[Job]]:
    """The oldest `depth` jobs of every tenant that has any waiting, with their organizations.

    Left out are those of other presets, and those that need a newer spec than `newest_version`.
    """
    position = Window(RowNumber(), partition_by=[F("organization"), F("livemode")], order_by="id")
    waiting = (
        Job.objects.filter(WAITING, sendable_in(newest_version), _of(presets), engine=engine)
        .annotate(position=position)
        .filter(position__lte=depth)
    )
    # In one query, Postgres would look at all that wait for each of the few that come out.
    first = list(waiting.order_by().values_list("pk", flat=True))
    jobs = (
        Job.objects.filter(pk__in=first, organization__suspended_at__isnull=True)
        .select_related("organization__plan", "organization__test_plan")
        .order_by("id")
    )
    found: dict[TenantKey, list[Job]] = defaultdict(list)
    for job in jobs:
        found[tenant_of(job)].append(job)
    return dict(found)


def _of(presets: Collection[str]) -> Q:
    return Q() if frozenset(PresetName) <= frozenset(presets) else Q(preset__in=sorted(presets))


def at_work(engine: EngineName, presets: Collection[str] = frozenset(PresetName)) -> AtWork:
    columns = ("organization", "livemode", "engine", "preset", "status")
    rows = Job.objects.filter(ACTIVE).order_by().values(*columns)
    by_tenant: Counter[TenantKey] = Counter()
    processing, unstarted = 0, Counter[str]()
    for row in rows.annotate(count=Count("id")):
        by_tenant[TenantKey(row["organization"], row["livemode"])] += row["count"]
        if row["engine"] == engine and row["preset"] in presets:
            if row["status"] == Status.PROCESSING:
                processing += row["count"]
            else:
                unstarted[row["preset"]] += row["count"]
    return AtWork(by_tenant, processing, unstarted)


def read_clock(engine: EngineName, tenants: Iterable[TenantKey]) -> Clock:
    """The engine's virtual time, and where these tenants stand in it."""
    rows = VirtualTime.objects.filter(engine=engine)
    now = rows.aggregate(now=Max("start"))["now"]
    of_tenants = rows.filter(organization__in={tenant.organization_id for tenant in tenants})
    finishes = {TenantKey(row.organization_id, row.livemode): row.finish for row in of_tenants}
    return Clock(0.0 if now is None else now, finishes)


def save_clock(engine: EngineName, clock: Clock) -> None:
    """Write down the slices that were given."""
    rows = [
        VirtualTime(
            organization_id=tenant.organization_id,
            livemode=tenant.livemode,
            engine=engine,
            start=start,
            finish=clock.finishes[tenant],
        )
        for tenant, start in clock.starts.items()
    ]
    VirtualTime.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["organization", "livemode", "engine"],
        update_fields=["start", "finish"],
    )
