"""RQ's side of the render worker: take a job, run it in this very process, outlive Redis."""

import logging
import time
from uuid import uuid4

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from gpu_worker.contract.coordination import HEARTBEAT_SECONDS
from gpu_worker.contract.queues import NAME_SEPARATOR, RenderJob, open_queue
from gpu_worker.runtime.context import WorkerContext
from gpu_worker.runtime.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

POLL_SECONDS = 1
AWAY_SECONDS = 1.0
SOCKET_SECONDS = 10


class RenderWorker(SimpleWorker):
    """Runs render jobs one after the other, without forking: a fork per job would load the model each time.

    RQ's own loop ends when Redis goes away in mid-render and raises out of whatever is running at a
    SIGTERM, so this one stands in its place. It asks for a stop only between two jobs; the render
    looks for itself.
    """

    log_job_description = False
    log_result_lifespan = False

    def __init__(self, queue_names: list[str], redis: Redis, host_name: str) -> None:
        super().__init__(
            [open_queue(name, RenderJob, redis) for name in queue_names],
            # By this control knows whose registration it is; each absence of Redis makes another one.
            name=f"{host_name}{NAME_SEPARATOR}{uuid4().hex[:8]}",
            connection=redis,
            job_class=RenderJob,
            serializer=JSONSerializer,
            log_job_description=False,
        )

    @property
    def connection_timeout(self) -> int:
        return SOCKET_SECONDS

    def serve(self, worker: WorkerContext, idle_seconds: float | None) -> None:
        """Run jobs while the host may begin any, but wait no longer than `idle_seconds` for the next."""
        self._register()
        worker.take_jobs(True)
        try:
            idle_since = time.monotonic()
            while worker.may_begin:
                taken = self._take(wait=idle_seconds != 0)
                if taken is not None:
                    self.execute_job(*taken)
                    idle_since = time.monotonic()
                elif idle_seconds is not None and time.monotonic() - idle_since >= idle_seconds:
                    break
        finally:
            worker.take_jobs(False)
            self.register_death()

    def execute_job(self, job: Job, queue: Queue) -> None:
        execution = self.prepare_execution(job)
        beat = lambda: self.maintain_heartbeats(job, execution)  # noqa: E731
        with PeriodicThread(HEARTBEAT_SECONDS, beat, "RQ's heartbeat"):
            self.perform_job(job, queue, execution)
        self.set_state(WorkerStatus.IDLE)

    def _register(self) -> None:
        self.connection.delete(self.key)  # What is left of us from before Redis went away.
        self.register_birth()
        self.set_state(WorkerStatus.IDLE)

    def _take(self, *, wait: bool) -> tuple[Job, Queue] | None:
        self.heartbeat()
        if self.should_run_maintenance_tasks:
            self.run_maintenance_tasks()
        try:
            return self.queue_class.dequeue_any(
                self.queues,
                POLL_SECONDS if wait else None,
                connection=self.connection,
                job_class=self.job_class,
                serializer=self.serializer,
            )
        except DequeueTimeout:
            return None


def connect(url: str) -> Redis:
    """A connection that gives up soon: each of its users knows how to wait."""
    return Redis.from_url(
        url,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS / 2,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),
    )


def serve(worker: WorkerContext, redis_url: str, idle_seconds: float | None = None) -> None:
    """Run jobs while the host may begin any, through any absence of Redis.

    Args:
        worker: The host.
        redis_url: Where it is.
        idle_seconds: How long to wait for a next job: 0 to end with the queue, None to wait for ever.
    """
    rq_worker: RenderWorker | None = None
    while worker.may_begin:
        try:
            rq_worker = rq_worker or RenderWorker(worker.queues, connect(redis_url), worker.name)
            rq_worker.serve(worker, idle_seconds)
            break
        except RedisError as error:
            log.warning("Redis is away (%s)", type(error).__name__)
            worker.shutdown.wait(AWAY_SECONDS)
