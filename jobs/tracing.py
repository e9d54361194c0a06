"""What control does for a job, traced back to the request that made it: in log lines and in traces."""

from collections.abc import Iterator
from contextlib import contextmanager

from gpu_worker.common import logs, telemetry
from jobs.models import Job

FIELDS = ("id", "organization_id", "request_id", "traceparent")


@contextmanager
def work_for(job: Job, name: str) -> Iterator[None]:
    """Lines written inside tell the job's ids; `name` is the kind of work."""
    with (
        logs.bound(request=job.request_id, organization=job.organization_id, job=job.id),
        telemetry.span(name, parent=job.traceparent),
    ):
        yield
