"""What Redis says: queues, who takes from them, what render workers tell, and what all processes count."""

import logging
from collections.abc import Callable, Iterator

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker

from avatar_api.common.redis import redis_client
from gpu_worker.contract.lanes import LANES
from gpu_worker.contract.queues import render_queue, report_queue
from jobs import counters
from jobs.metrics import render_workers
from jobs.queues import outbound_queue, speech_queue

log = logging.getLogger(__name__)


class Queues(Collector):
    """Everything that is read from Redis; while it is away, only that is reported."""

    def collect(self) -> Iterator[Metric]:
        found: list[Metric] = []
        try:
            with redis_client() as redis:
                for part in PARTS:
                    found += part(redis)
            up = 1
        except RedisError:
            # What the database says is worth more while Redis is away.
            log.exception("Redis doesn't answer the scrape")
            up = 0
        yield from found
        yield GaugeMetricFamily("avatar_redis_up", "Whether Redis answered this scrape.", value=up)


def queues(redis: Redis) -> Iterator[Metric]:
    """What lies in Redis, and who is there to take it."""
    depth = GaugeMetricFamily("avatar_queue_depth", "Entries of a queue in Redis.", labels=["queue"])
    age = GaugeMetricFamily("avatar_queue_oldest_seconds", "Age of the oldest entry.", labels=["queue"])
    workers = GaugeMetricFamily("avatar_workers", "Workers of a queue.", labels=["queue"])
    for queue in all_queues(redis):
        depth.add_metric([queue.name], queue.count)
        age.add_metric([queue.name], oldest_seconds(queue))
        workers.add_metric([queue.name], Worker.count(connection=redis, queue=queue))
    yield from (depth, age, workers)


def all_queues(redis: Redis) -> list[Queue]:
    return [
        *(render_queue(lane, redis) for lane in LANES),
        report_queue(redis),
        outbound_queue(redis),
        speech_queue(redis),
    ]


def oldest_seconds(queue: Queue) -> float:
    first = queue.get_jobs(0, 1)
    if not first or first[0].enqueued_at is None:
        return 0
    return (timezone.now() - first[0].enqueued_at).total_seconds()


def shared(redis: Redis) -> Iterator[Metric]:
    """What the control workers have counted, which have no port of their own."""
    for counter in counters.EVERYTHING:
        yield counter.collect(redis)


def last_round(redis: Redis) -> Iterator[Metric]:
    """When the last round of reconcile has ended; 0: none since Redis was empty."""
    yield GaugeMetricFamily(
        "avatar_repair_last_round_timestamp_seconds",
        "When reconcile last finished a round.",
        value=counters.last_reconcile(redis),
    )


PARTS: tuple[Callable[[Redis], Iterator[Metric]], ...] = (queues, shared, last_round, render_workers.collect)
