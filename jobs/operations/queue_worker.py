"""RQ's side of a control worker: take an entry, run it in this very process, outlive Redis and Postgres."""

import logging
import threading
from collections.abc import Callable

from django.db import close_old_connections
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from avatar_api.common.redis import WORKER_SECONDS, is_away
from gpu_worker.contract import reading
from jobs import queues

log = logging.getLogger(__name__)

POLL_SECONDS = 1
AWAY_SECONDS = 1.0


class ControlWorker(SimpleWorker):
    """Runs each task in this very process, with a database connection that is known to work.

    RQ's own loop ends when Redis goes away while a task runs, or at an entry that can't be read, so this one
    stands in its place.
    """

    def __init__(self, queue: Queue) -> None:
        super().__init__(
            [queue],
            connection=queue.connection,
            job_class=queue.job_class,
            serializer=JSONSerializer,
            log_job_description=False,
        )

    @property
    def connection_timeout(self) -> int:
        return int(WORKER_SECONDS)

    def serve(self, stop: threading.Event) -> None:
        """Run tasks until `stop` is set.

        Raises:
            RedisError: Redis is away.
        """
        self.register_birth()
        self.set_state(WorkerStatus.IDLE)
        try:
            while not stop.is_set():
                self._run_next()
        finally:
            self.register_death()

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        close_old_connections()
        try:
            return bool(super().perform_job(job, queue, execution))
        finally:
            close_old_connections()

    def _run_next(self) -> None:
        taken: tuple[Job, Queue] | None = None
        try:
            taken = self._take()
            if taken:
                self.execute_job(*taken)
        except Exception as error:  # RQ's reading of an entry raises whatever its content provokes.
            if isinstance(error, RedisError) and is_away(error):
                raise
            reading.dropped("a queue's entry", error)
            self._remove_unreadable(taken[0].id if taken else getattr(error, "job_id", None))

    def _take(self) -> tuple[Job, Queue] | None:
        self.heartbeat()
        if self.should_run_maintenance_tasks:
            self.run_maintenance_tasks()
        try:
            return self.queue_class.dequeue_any(
                self.queues,
                POLL_SECONDS,
                connection=self.connection,
                job_class=self.job_class,
                serializer=self.serializer,
            )
        except DequeueTimeout:
            return None

    def _remove_unreadable(self, rq_id: str | None) -> None:
        """Remove what can't be read from where RQ looks for it."""
        (queue,) = self.queues
        queues.waiting_ids(queue)
        queues.taken_ids(queue)
        queues.begun_ids(queue)
        if rq_id is not None:
            queue.intermediate_queue.remove(rq_id)


def serve(
    open_queue: Callable[[Redis], Queue],
    connect: Callable[[], Redis],
    stop: threading.Event,
    *,
    put_back: bool = False,
) -> None:
    """Run the tasks of a queue until `stop` is set, through any absence of Redis.

    Args:
        open_queue: Opens the queue.
        connect: Makes a client.
        stop: Ends the loop.
        put_back: First put back what a worker before this one had in hand: for a queue with a single worker.
    """
    while not stop.is_set():
        try:
            with connect() as redis:
                queue = open_queue(redis)
                if put_back:
                    queues.put_back(queue)
                ControlWorker(queue).serve(stop)
        except RedisError as error:
            log.warning("Redis is away (%s)", type(error).__name__)
            stop.wait(AWAY_SECONDS)
