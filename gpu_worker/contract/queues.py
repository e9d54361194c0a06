"""The RQ queues between control side and render workers, and what each may run.

Every queue speaks JSON, never pickle, and has a Job class of its own that runs nothing but the
functions named here: whoever can write to Redis can't make a worker import anything else.
"""

from typing import Any, ClassVar

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from gpu_worker.contract.lanes import Lane

RENDER_FUNCTION = "gpu_worker.tasks.render"
REPORT_FUNCTION = "jobs.tasks.record"


class ForbiddenCallableError(Exception):
    """A job names a function that its queue doesn't allow."""


class AllowListedJob(Job):
    """A job that runs only the functions of its class, without callbacks or RQ's own webhooks."""

    allowed: ClassVar[frozenset[str]] = frozenset()

    @property
    def func(self) -> Any:
        if self.instance is not None or self.func_name not in self.allowed:
            raise ForbiddenCallableError(f"{self.func_name} is not allowed on this queue")
        return super().func

    def restore(self, raw_data: Any) -> Any:
        super().restore(raw_data)
        # RQ would import the one and call the other; nobody on our side ever sets them.
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []


class RenderJob(AllowListedJob):
    allowed = frozenset({RENDER_FUNCTION})


class ReportJob(AllowListedJob):
    allowed = frozenset({REPORT_FUNCTION})


REPORTS = "reports"
FAILURE_SECONDS = 3600
"""So long RQ keeps a call that failed, for whoever looks."""
NAME_SEPARATOR = "."
"""In what a render worker is called in RQ's registry: its own name, this, and a suffix."""


def render_queue(lane: Lane, connection: Redis) -> Queue:
    return open_queue(lane.queue, RenderJob, connection)


def report_queue(connection: Redis) -> Queue:
    return open_queue(REPORTS, ReportJob, connection)


def open_queue(name: str, job_class: type[AllowListedJob], connection: Redis) -> Queue:
    return Queue(name, connection=connection, serializer=JSONSerializer, job_class=job_class)


def enqueue(queue: Queue, function: str, *args: Any, rq_id: str, at_front: bool = False) -> None:
    """Put a call into a queue. It has deadlines of its own, so RQ gives it none."""
    queue.enqueue(
        function,
        args=args,
        job_id=rq_id,
        # RQ logs and shows the description, which by default would hold the arguments and so a token.
        description=rq_id,
        job_timeout=-1,
        result_ttl=0,
        failure_ttl=FAILURE_SECONDS,
        at_front=at_front,
    )


def render_job_id(job_id: str, attempt: int) -> str:
    """The RQ id of one attempt: unique, so that an attempt can't be queued twice."""
    return f"{job_id}-{attempt}"
