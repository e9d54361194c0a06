"""Whatever happens to jobs, in whatever order: what the whole of control promises holds at every moment.

Hypothesis plays customers, workers, a network that delays and repeats reports, a Redis that forgets, and the
clock. Control is the real one, on Postgres and Redis; beside it a model says what each report has to do.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from accounts.limits import effective_limits
from accounts.models import Organization
from accounts.tenant import Tenant
from gpu_worker.contract import coordination, storage_keys
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue
from gpu_worker.contract.spec import RenderReport, RenderSpec, ReportKind
from jobs.billing import quotas
from jobs.lifecycle import services
from jobs.lifecycle.transitions import MAX_LOSSES
from jobs.models import Job, JobEvent, LeaseWatch, MonthlyUsage, WebhookDelivery
from jobs.operations.reconcile import reconcile
from jobs.scheduling import dispatch
from jobs.states import FINAL, OPEN
from jobs.tasks import record
from tests import factories
from tests.jobs.reports import VIDEO

FRAMES_OF_WINDOWS = {1: 50, 2: 100, 3: 200}
ROUND_SECONDS = 65.0
AT_ONCE = 2
MOST_JOBS = 3
# Windows are told of more often than all else.
SAID = [ReportKind.WINDOW, ReportKind.WINDOW, *ReportKind]
ENDS = {ReportKind.SUCCEEDED, ReportKind.FAILED, ReportKind.CANCELED, ReportKind.HANDED_BACK}


@dataclass
class Attempt:
    """A worker with a job. Dead ones may have reports on their way; so may those that were given up."""

    spec: RenderSpec
    windows: int
    windows_done: int
    gpu_seconds: float = 0.0
    alive: bool = True

    def says(self, kind: ReportKind) -> dict[str, Any]:
        self.gpu_seconds += 1.0
        if kind is ReportKind.WINDOW:
            self.windows_done = min(self.windows, self.windows_done + 1)
        if kind is ReportKind.SUCCEEDED:
            self.windows_done = self.windows
        self.alive = self.alive and kind not in ENDS
        video = VIDEO if kind is ReportKind.SUCCEEDED else None
        return RenderReport(
            job_id=self.spec.job_id,
            attempt=self.spec.attempt,
            token=self.spec.token,
            kind=kind,
            windows_done=self.windows_done,
            gpu_seconds=self.gpu_seconds,
            step_saved=kind is ReportKind.HANDED_BACK,
            video=video,
            error_code="internal_error" if kind is ReportKind.FAILED else None,
            error_detail="It broke." if kind is ReportKind.FAILED else None,
            receipt={} if video else None,
        ).to_dict()


@dataclass(frozen=True)
class Standing:
    """What the model knows of a job."""

    status: str
    attempt: int
    sent: bool
    windows_done: int
    losses: int
    cancel_requested: bool

    @classmethod
    def of(cls, job: Job) -> "Standing":
        return cls(
            job.status,
            job.attempt,
            job.dispatched_at is not None,
            len(job.window_prefixes),
            job.losses,
            job.cancel_requested_at is not None,
        )


def after(before: Standing, report: dict[str, Any]) -> tuple[str, int, int]:
    """The model: status, windows done and losses once a report was taken down."""
    nothing = (before.status, before.windows_done, before.losses)
    begun = before.status == "processing" or (before.status == "queued" and before.sent)
    if report["attempt"] != before.attempt or not begun:
        return nothing
    kind = ReportKind(report["kind"])
    windows = max(before.windows_done, report["windows_done"] if kind is not ReportKind.FAILED else 0)
    windows = before.windows_done if kind is ReportKind.STARTED else windows
    losses = before.losses if windows == before.windows_done else 0
    back = "canceled" if before.cancel_requested else "queued"
    ends = {ReportKind.HANDED_BACK: back} | {k: k.value for k in ENDS - {ReportKind.HANDED_BACK}}
    return ends.get(kind, "processing"), windows, losses


@dataclass
class Seen:
    """The most that was ever seen of a job."""

    attempt: int = 0
    gpu_seconds: float = 0.0
    losses: int = 0
    prefixes: list[str] = field(default_factory=list)
    end: tuple[Any, ...] | None = None


class Jobs(RuleBasedStateMachine):
    """All that can happen."""

    acme: Organization
    redis: Redis

    @initialize()
    def begin(self) -> None:
        self.redis.flushdb()
        self.ids: list[str] = []
        self.seen: dict[str, Seen] = {}
        self.attempts: list[Attempt] = []
        self.said: list[dict[str, Any]] = []
        self.clock = time_machine.travel(timezone.now(), tick=True)
        self.moved = self.clock.start()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        self.ask(windows=3)

    def teardown(self) -> None:
        if not hasattr(self, "undone"):
            return
        try:
            self._let_all_end()
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)
            self.clock.stop()

    # --- What customers do ---

    @precondition(lambda self: len(self.ids) < MOST_JOBS)
    @rule(windows=st.sampled_from(sorted(FRAMES_OF_WINDOWS)))
    def ask(self, windows: int) -> None:
        num_frames = FRAMES_OF_WINDOWS[windows]
        limits = effective_limits(self.acme, livemode=True)
        tenant = Tenant(organization=self.acme, livemode=True, scopes=frozenset(), limits=limits)
        seconds = quotas.reserve(tenant=tenant, created_at=timezone.now(), seconds=Decimal(num_frames) / 25)
        job = factories.job(self.acme, livemode=True, num_frames=num_frames, reserved_seconds=seconds)
        self.ids.append(job.id)
        self.seen[job.id] = Seen()
        self._dispatch()

    @rule(data=st.data(), answer=st.sampled_from([None, ReportKind.CANCELED, ReportKind.HANDED_BACK]))
    def cancel(self, data: st.DataObject, answer: ReportKind | None) -> None:
        """A worker obeys at once, or was just leaving for another reason, or takes its time."""
        job = Job.objects.get(pk=data.draw(st.sampled_from(self.ids)))
        if job.status not in OPEN:
            return
        services.cancel_job(job=job)
        for attempt in self.rendering if answer else []:
            if attempt.spec.job_id == job.id:
                self._deliver(attempt.says(answer))

    # --- What workers do, those that were given up among them ---

    @precondition(lambda self: self.rendering)
    @rule(data=st.data(), kind=st.sampled_from(SAID), fate=st.sampled_from(["arrives", "rings", "delayed"]))
    def report(self, data: st.DataObject, kind: ReportKind, fate: str) -> None:
        said = data.draw(st.sampled_from(self.rendering)).says(kind)
        self.said.append(said)
        if fate != "delayed":
            self._deliver(said)
        if fate == "rings":
            self._dispatch()

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """What was delayed arrives, and what had arrived comes again."""
        self._deliver(data.draw(st.sampled_from(self.said)))

    @precondition(lambda self: self.rendering)
    @rule(data=st.data(), fate=st.sampled_from(["dies", "dies_once_finished", "is_cut_off"]))
    def vanish(self, data: st.DataObject, fate: str) -> None:
        attempt = data.draw(st.sampled_from(self.rendering))
        if fate == "dies_once_finished":
            self._write_result(attempt)
        attempt.alive = fate == "is_cut_off"
        self._drop(attempt)
        self.repair(rounds=2)

    # --- What else happens ---

    @rule(rounds=st.integers(1, 2))
    def repair(self, rounds: int) -> None:
        """One round finds what is missing; the next one gives it up."""
        for _ in range(rounds):
            self.moved.shift(ROUND_SECONDS)
            # Looked at each second meanwhile: a longer pause would count as an outage.
            LeaseWatch.objects.update(looked_at=timezone.now())
            reconcile()
        self._take()

    @rule(leases_come_back=st.booleans())
    def forget_redis(self, leases_come_back: bool) -> None:
        self.redis.flushdb()
        for attempt in self.rendering if leases_come_back else []:
            self._hold(attempt)

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def forge(self, data: st.DataObject) -> None:
        said = data.draw(st.sampled_from(self.said))
        before = self._standing(said["job_id"])
        record(said | {"token": "guessed"})
        assert self._standing(said["job_id"]) == before

    # --- What holds at every moment ---

    @invariant()
    def promises_are_kept(self) -> None:
        jobs = list(Job.objects.filter(pk__in=getattr(self, "ids", [])))
        if jobs:
            self._each_ends_once_and_stays_so(jobs)
            self._webhooks_tell_each_end_once(jobs)
            self._the_month_is_what_its_jobs_are(jobs)
            self._nothing_goes_backwards(jobs)
            self._no_more_are_at_work_than_may(jobs)

    def _each_ends_once_and_stays_so(self, jobs: list[Job]) -> None:
        events = JobEvent.objects.filter(job__in=self.ids, type__in=FINAL).values_list("job", "type")
        assert sorted(events) == sorted((job.id, job.status) for job in jobs if job.status in FINAL)
        for job in jobs:
            end = (job.status, job.finished_at, job.charged_seconds, job.cost_usd, job.output, job.error_code)
            seen = self.seen[job.id]
            assert seen.end in (None, end)
            seen.end = end if job.status in FINAL else None

    def _webhooks_tell_each_end_once(self, jobs: list[Job]) -> None:
        told = WebhookDelivery.objects.filter(job__in=self.ids).values_list("job", "event_type")
        ends = [(job.id, f"job.{job.status}") for job in jobs if job.status in FINAL]
        starts = [(job.id, "job.processing") for job in jobs if job.started_at is not None]
        assert sorted(told) == sorted(ends + starts)

    def _the_month_is_what_its_jobs_are(self, jobs: list[Job]) -> None:
        usage = MonthlyUsage.objects.get(organization=self.acme)
        assert usage.reserved_seconds == sum(job.reserved_seconds for job in jobs if job.status in OPEN)
        assert usage.charged_seconds == sum(job.charged_seconds for job in jobs)
        for job in jobs:
            if job.status == "canceled":
                assert job.charged_seconds <= job.reserved_seconds
            else:
                assert job.charged_seconds == (job.reserved_seconds if job.status == "succeeded" else 0)

    def _nothing_goes_backwards(self, jobs: list[Job]) -> None:
        for job in jobs:
            seen = self.seen[job.id]
            spent = job.gpu_seconds + job.attempt_gpu_seconds
            assert job.attempt >= seen.attempt
            assert spent >= seen.gpu_seconds
            assert job.window_prefixes[: len(seen.prefixes)] == seen.prefixes
            assert len(job.window_prefixes) <= job.windows
            assert job.losses <= seen.losses + 1
            assert (job.losses == MAX_LOSSES) == (job.error_code == "worker_lost")
            seen.attempt, seen.gpu_seconds = job.attempt, spent
            seen.losses, seen.prefixes = job.losses, job.window_prefixes

    def _no_more_are_at_work_than_may(self, jobs: list[Job]) -> None:
        sent = [job for job in jobs if job.status == "queued" and job.dispatched_at is not None]
        rendered = [job for job in jobs if job.status == "processing"]
        assert len(sent + rendered) <= AT_ONCE

    # --- How it is done ---

    def _standing(self, job_id: str) -> Standing:
        return Standing.of(Job.objects.get(pk=job_id))

    def _deliver(self, report: dict[str, Any]) -> None:
        before = self._standing(report["job_id"])
        record(report)
        now = self._standing(report["job_id"])
        assert (now.status, now.windows_done, now.losses) == after(before, report)

    @property
    def rendering(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.alive]

    def _dispatch(self) -> None:
        dispatch.dispatch_jobs()
        self._take()

    def _take(self) -> list[Attempt]:
        """Workers take all that was sent."""
        queue = render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), self.redis)
        entries = queue.jobs
        for entry in entries:
            queue.remove(entry)
            entry.delete()
        taken = [self._attempt(RenderSpec.from_dict(entry.args[0])) for entry in entries]
        self.attempts += taken
        return taken

    def _attempt(self, spec: RenderSpec) -> Attempt:
        windows = {frames: windows for windows, frames in FRAMES_OF_WINDOWS.items()}[spec.num_frames]
        attempt = Attempt(spec, windows, len(spec.resume.window_prefixes))
        self._hold(attempt)
        return attempt

    def _hold(self, attempt: Attempt) -> None:
        coordination.hold_lease(self.redis, attempt.spec.job_id, attempt.spec.attempt, "worker")

    def _drop(self, attempt: Attempt) -> None:
        """The lease runs out."""
        self.redis.delete(f"lease:{attempt.spec.job_id}:{attempt.spec.attempt}")

    def _write_result(self, attempt: Attempt) -> None:
        result = {"video": asdict(VIDEO), "receipt": {}, "gpu_seconds": attempt.gpu_seconds}
        content = ContentFile(json.dumps(result).encode())
        default_storage.save(storage_keys.result(attempt.spec.prefix), content)

    def _let_all_end(self) -> None:
        """From wherever it stands each job comes to its end, once workers do their work."""
        for attempt in self.attempts:
            attempt.alive = False
            self._drop(attempt)
        for _ in range(30):
            if not Job.objects.filter(pk__in=self.ids, status__in=OPEN).exists():
                break
            self.repair(rounds=1)
            for attempt in self.rendering:
                self._deliver(attempt.says(ReportKind.SUCCEEDED))
        assert not Job.objects.filter(pk__in=self.ids, status__in=OPEN).exists()
        self.promises_are_kept()


def test_whatever_happens_every_job_ends_once_is_told_once_and_charged_once(
    acme: Organization, redis: Redis, store: object
) -> None:
    acme.concurrent_jobs = AT_ONCE
    acme.save()
    factories.webhook(acme, livemode=True)
    machine: Callable[[], Jobs] = type("OfAcme", (Jobs,), {"acme": acme, "redis": redis})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=16,
            phases=[Phase.generate],  # Making a failure shorter would take minutes; add Phase.shrink for it.
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
