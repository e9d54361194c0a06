"""What RQ runs in a render worker: `render`, and nothing else."""

import logging
import time
from typing import Any

from gpu_worker.common import logs, telemetry
from gpu_worker.contract import coordination
from gpu_worker.contract.spec import (
    OLDEST_SPEC_VERSION,
    SPEC_VERSION,
    RenderReport,
    RenderSpec,
    ReportKind,
    SpecError,
)
from gpu_worker.rendering import errors
from gpu_worker.rendering.attempt import Attempt
from gpu_worker.runtime import context
from gpu_worker.runtime.context import WorkerContext

log = logging.getLogger(__name__)

REFUSAL_SECONDS = 60


def render(data: Any) -> None:
    """Render the job that `data`, a spec as JSON, describes. Its end is a report, never an exception."""
    worker = context.current()
    try:
        spec = RenderSpec.from_dict(data)
    except SpecError as error:
        refuse(worker, data, error)
    else:
        origin = spec.origin
        with (
            logs.bound(
                request=origin.request,
                organization=origin.organization,
                job=spec.job_id,
                attempt=spec.attempt,
            ),
            telemetry.span(
                "render",
                parent=origin.traceparent,
                engine=spec.engine,
                preset=spec.preset,
                resolution=spec.resolution,
                num_frames=spec.num_frames,
            ),
        ):
            worker.run(Attempt(worker, spec))


def refuse(worker: WorkerContext, data: Any, error: SpecError) -> None:
    """Say that this worker can't read a spec.

    One of another version is for another worker: it is handed back, at most once a minute, so that
    it doesn't go in circles while workers are replaced. One of our own version is a fault of control's.
    """
    log.critical("a spec is refused: %s", error)
    if not isinstance(data, dict) or not {"job_id", "attempt", "token"} <= data.keys():
        return
    if data.get("version") in range(OLDEST_SPEC_VERSION, SPEC_VERSION + 1):
        failure = errors.translate(error)
        _report(worker, data, ReportKind.FAILED, failure)
        return
    coordination.hold_lease(worker.redis, data["job_id"], data["attempt"], worker.name)
    worker.shutdown.wait(worker.next_refusal - time.monotonic())
    worker.next_refusal = time.monotonic() + REFUSAL_SECONDS
    _report(worker, data, ReportKind.HANDED_BACK)


def _report(
    worker: WorkerContext, data: dict[str, Any], kind: ReportKind, failure: errors.JobError | None = None
) -> None:
    report = RenderReport(
        job_id=data["job_id"],
        attempt=data["attempt"],
        token=data["token"],
        kind=kind,
        windows_done=0,
        gpu_seconds=0.0,
        error_code=failure.code if failure else None,
        error_detail=failure.detail if failure else None,
    )
    worker.outbox.put(report)
