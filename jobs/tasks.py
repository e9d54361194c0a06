"""What the control queues run: `reports` nothing but `record`, `outbound` what needs the network."""

import hmac
import logging
import time
from collections.abc import Callable
from typing import Any

from avatar_api.common.redis import redis_client
from avatar_api.common.transient_errors import drop_lost_connection, encountered, transient_cause
from gpu_worker.common import logs
from gpu_worker.contract import coordination, reading, storage_keys
from gpu_worker.contract.spec import RenderReport, ReportKind, SpecError
from jobs import tracing
from jobs.lifecycle import fetching, job_errors, transitions
from jobs.models import Job
from jobs.scheduling.autoscaling import reconcile
from jobs.scheduling.dispatch import hash_token
from jobs.states import FINAL
from jobs.webhooks import outbox

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


def record(data: Any) -> None:
    """Take down what a render worker reports; a report without its attempt's token is dropped."""
    try:
        report = RenderReport.from_dict(data)
    except SpecError as error:
        reading.dropped("a report", error)
        return
    with logs.bound(job=report.job_id, attempt=report.attempt):
        retry_while_transient(lambda: process(report))


def retry_while_transient(step: Callable[[], None]) -> None:
    """Repeat what a database that is away prevents, as long as RQ lets a task take.

    The reports behind wait meanwhile, and in order. One that was given up would be found out only minutes
    later, when its worker counts as lost.
    """
    while True:
        try:
            return step()
        except Exception as error:
            cause = transient_cause(error)
            if cause is None:
                raise
            log.warning("%s: the report waits for it", cause)
            encountered.add(cause)
            drop_lost_connection()
            time.sleep(RETRY_SECONDS)


def process(report: RenderReport) -> None:
    known = ("attempt", "token_hash", "status", "windows", *tracing.FIELDS)
    job = Job.objects.filter(pk=report.job_id).only(*known).first()
    if job is None:
        log.info("a report of a job that isn't there was dropped")
        return
    with tracing.work_for(job, "report"):
        apply_if_current(report, job)


def apply_if_current(report: RenderReport, job: Job) -> None:
    if job.attempt != report.attempt:
        log.info("a report of attempt %s of %s came too late", report.attempt, report.job_id)
    elif not hmac.compare_digest(hash_token(report.token), job.token_hash):
        log.warning("a report for %s without its token was dropped", report.job_id)
    elif report.windows_done > job.windows:
        reading.dropped("a report", SpecError("more windows than the job has"))
    elif job.status in FINAL:
        stop_what_has_ended(report)
    else:
        log.info("%s, windows done: %d", report.kind, report.windows_done)
        apply(report, job.organization_id)


def stop_what_has_ended(report: RenderReport) -> None:
    """Tell a worker that renders on, because it was canceled in the moment of its dispatch, to stop."""
    if report.kind in (ReportKind.STARTED, ReportKind.WINDOW):
        with redis_client() as redis:
            coordination.request_stop(redis, report.job_id, coordination.Stop.CANCEL)


def apply(report: RenderReport, organization_id: str) -> None:
    """Make the transition that a genuine report stands for."""
    # Reports may overtake each other: whatever a worker says, its attempt has started.
    transitions.start(report.job_id, report.attempt)
    job_id, attempt, seconds = report.job_id, report.attempt, report.gpu_seconds
    prefix = storage_keys.attempt_prefix(organization_id, job_id, attempt)
    match report.kind:
        case ReportKind.STARTED:
            pass
        case ReportKind.WINDOW:
            transitions.finish_window(job_id, attempt, report.windows_done, prefix, seconds)
        case ReportKind.SUCCEEDED:
            assert report.video is not None
            transitions.finish_window(job_id, attempt, report.windows_done, prefix, seconds)
            transitions.succeed(job_id, attempt, report.video, report.receipt or {}, seconds)
        case ReportKind.FAILED:
            error = job_errors.reported(report)
            transitions.fail(job_id, error.code, error.detail, attempt=attempt, gpu_seconds=seconds)
        case ReportKind.CANCELED:
            transitions.finish_window(job_id, attempt, report.windows_done, prefix, seconds)
            transitions.cancel(job_id, attempt=attempt, gpu_seconds=seconds)
        case ReportKind.HANDED_BACK:
            transitions.finish_window(job_id, attempt, report.windows_done, prefix, seconds)
            transitions.hand_back(job_id, attempt, prefix if report.step_saved else "", seconds)


def deliver(delivery_id: str) -> None:
    """There are deliveries to send, this one among them, unless another process has it already."""
    outbox.due_soon.set()


def fetch_inputs(job_id: str) -> None:
    """There are jobs whose files are to be fetched, this one among them."""
    fetching.due.set()


def wake() -> None:
    """Make the wakes that RunPod's endpoint is missing."""
    reconcile.reconcile_workers()
