"""What happens to reports on their way: they come again, late, and in another order."""

import random
from typing import Any

from redis import Redis, WatchError

from gpu_worker.contract.queues import REPORT_FUNCTION, REPORTS, report_queue

KEY = f"rq:queue:{REPORTS}"


class Meddler:
    """Has the reports queue in its hands, as somebody who may write to Redis.

    Attributes:
        seen: The reports that were repeated so far, to come once more long after their time.
    """

    def __init__(self, redis_url: str, seed: int) -> None:
        self._redis = Redis.from_url(redis_url)
        self._chance = random.Random(f"reports {seed}")  # noqa: S311
        self._again = 0
        self.seen: list[dict[str, Any]] = []

    def repeat(self) -> None:
        """Put every report that waits there once more, and some of the old ones."""
        waiting = [job.args[0] for job in report_queue(self._redis).get_jobs()]
        old = self._chance.sample(self.seen, min(len(self.seen), 10))
        self.seen += waiting
        for report in waiting + old:
            self._again += 1
            report_queue(self._redis).enqueue(
                REPORT_FUNCTION,
                args=(report,),
                job_id=f"again-{self._again}",
                description="again",
                result_ttl=0,
                failure_ttl=3600,
            )

    def shuffle(self) -> None:
        """Bring the reports that wait into another order."""
        with self._redis.pipeline() as pipeline:
            while True:
                try:
                    pipeline.watch(KEY)
                    waiting: list[bytes] = pipeline.lrange(KEY, 0, -1)  # type: ignore[assignment]
                    if waiting:
                        pipeline.multi()
                        pipeline.delete(KEY)
                        pipeline.rpush(KEY, *self._chance.sample(waiting, len(waiting)))
                        pipeline.execute()
                    return
                except WatchError:
                    continue
