"""The outbox: what a worker has to say reaches control late rather than never, and in order."""

import logging
import threading
import time
from collections import deque

from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import DuplicateJobError

from gpu_worker.contract.queues import REPORT_FUNCTION, report_queue
from gpu_worker.contract.spec import RenderReport

log = logging.getLogger(__name__)

CAPACITY = 1000
RETRY_SECONDS = 1.0
FAILURE_SECONDS = 24 * 3600


class Outbox:
    """Reports on their way to control: sent by a thread, in order, until Redis has taken them.

    At most `CAPACITY` reports wait; then `put` waits too, so that a render can't run away
    from a Redis that stays away.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: deque[RenderReport] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="outbox", daemon=True).start()

    def put(self, report: RenderReport) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < CAPACITY)
            self._waiting.append(report)
            self._changed.notify_all()

    @property
    def attempts(self) -> list[tuple[str, int]]:
        """Job and attempt of each report that Redis hasn't taken yet."""
        with self._changed:
            return [(report.job_id, report.attempt) for report in self._waiting]

    def flush(self, timeout: float) -> bool:
        """Wait until everything is sent, at most `timeout` seconds; whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                report = self._waiting[0]
            self._deliver(report)
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()

    def _deliver(self, report: RenderReport) -> None:
        while True:
            try:
                return send(self._redis, report)
            except RedisError as error:
                log.warning(
                    "outbox: Redis is away (%s), %d waiting", type(error).__name__, len(self._waiting)
                )
                time.sleep(RETRY_SECONDS)


def send(redis: Redis, report: RenderReport) -> None:
    """Enqueue a report once: a repetition after a lost answer finds the first one still there."""
    name = f"{report.job_id}-{report.attempt}-{report.kind}-{report.windows_done}"
    try:
        report_queue(redis).enqueue(
            REPORT_FUNCTION,
            args=(report.to_dict(),),
            job_id=name,
            unique=True,
            description=name,  # RQ's default would show the arguments, the token among them.
            result_ttl=0,
            failure_ttl=FAILURE_SECONDS,
        )
    except DuplicateJobError:
        log.info("report %s was there already", name)
