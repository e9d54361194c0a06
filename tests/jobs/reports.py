"""What a render worker would say of a job's attempt."""

from typing import Any

from gpu_worker.contract.spec import RenderedVideo, RenderReport, ReportKind
from jobs.models import Job
from jobs.scheduling import dispatch

TOKEN = "the attempt's own secret"
VIDEO = RenderedVideo(
    width=640, height=640, fps=25, num_frames=100, duration_seconds=4.0, size_bytes=9, sha256="0" * 64
)


def dispatched(job: Job, attempt: int = 1) -> Job:
    """The job as `dispatch` leaves it, with a token that the test knows."""
    Job.objects.filter(pk=job.pk).update(
        attempt=attempt, token_hash=dispatch.hash_token(TOKEN), dispatched_at=job.created_at
    )
    job.refresh_from_db()
    return job


def report(job: Job, kind: ReportKind, **fields: Any) -> dict[str, Any]:
    """A report of the job's current attempt as it travels through the queue."""
    defaults: dict[str, Any] = {
        "job_id": job.id,
        "attempt": job.attempt,
        "token": TOKEN,
        "kind": kind,
        "windows_done": 0,
        "gpu_seconds": 1.0,
    }
    if kind is ReportKind.SUCCEEDED:
        defaults |= {"video": VIDEO, "receipt": {"engine": "preview"}, "windows_done": job.windows}
    return RenderReport(**defaults | fields).to_dict()
