"""`/metrics` for Prometheus: this process's requests, and of the whole deployment what its database says.

Numbers of jobs, queues and deliveries are read at each scrape and are the same from every web process:
take their maximum, never their sum.
"""

import hmac
import logging
from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count, Min, Q, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker

from gpu_worker.contract.queues import RENDER_QUEUES, render_queue, report_queue
from gpu_worker.contract.spec import EngineName
from jobs.dispatch import redis_client
from jobs.models import Job, WebhookDelivery
from jobs.queues import outbound_queue
from jobs.states import Status

log = logging.getLogger(__name__)


def metrics(request: HttpRequest) -> HttpResponse:
    """Everything, to whoever knows METRICS_TOKEN; where none is set, there is no such page."""
    given = request.headers.get("Authorization", "")
    wanted = f"Bearer {settings.METRICS_TOKEN}"
    if not settings.METRICS_TOKEN or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Http404
    deployment = CollectorRegistry()
    for collector in (Jobs(), Waiting(), Deliveries(), Queues()):
        deployment.register(collector)
    text = generate_latest(REGISTRY) + generate_latest(deployment)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


class Jobs(Collector):
    """All jobs there are, by what they are; what they took, by whose they are."""

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("avatar_jobs", "Jobs.", labels=["state", "engine", "preset", "mode"])
        rows = Job.objects.order_by().values("status", "engine", "preset", "livemode").annotate(n=Count("pk"))
        for row in rows:
            mode = "live" if row["livemode"] else "test"
            jobs.add_metric([row["status"], row["engine"], row["preset"], mode], row["n"])
        yield jobs
        yield from self._by_organization()

    def _by_organization(self) -> Iterator[Metric]:
        seconds = GaugeMetricFamily("avatar_gpu_seconds", "GPU seconds of jobs.", labels=["organization"])
        charged = GaugeMetricFamily("avatar_video_seconds", "Seconds charged.", labels=["organization"])
        cost = GaugeMetricFamily("avatar_charged_usd", "What was charged.", labels=["organization"])
        on_gpu = Sum("gpu_seconds", filter=Q(engine=EngineName.INFINITETALK), default=0.0)
        rows = (
            Job.objects.order_by()
            .values("organization")
            .annotate(gpu=on_gpu, video=Sum("charged_seconds"), usd=Sum("cost_usd"))
        )
        for row in rows:
            label = [row["organization"]]
            seconds.add_metric(label, row["gpu"])
            charged.add_metric(label, float(row["video"]))
            cost.add_metric(label, float(row["usd"]))
        yield from (seconds, charged, cost)


class Waiting(Collector):
    """Postgres holds the queue of jobs: how many wait for an engine, and the oldest since when."""

    def collect(self) -> Iterator[Metric]:
        count = GaugeMetricFamily("avatar_jobs_waiting", "Jobs not yet started.", labels=["queue"])
        age = GaugeMetricFamily("avatar_jobs_waiting_oldest_seconds", "Age of the oldest.", labels=["queue"])
        now = timezone.now()
        for engine in EngineName:
            found = Job.objects.filter(status=Status.QUEUED, engine=engine).aggregate(
                n=Count("pk"), oldest=Min("created_at")
            )
            count.add_metric([RENDER_QUEUES[engine]], found["n"])
            age.add_metric(
                [RENDER_QUEUES[engine]], (now - found["oldest"]).total_seconds() if found["n"] else 0
            )
        yield from (count, age)


class Deliveries(Collector):
    """Webhooks: those that are due and not sent, and those that were given up."""

    def collect(self) -> Iterator[Metric]:
        due = Q(state=WebhookDelivery.State.PENDING, next_try_at__lte=timezone.now())
        found = WebhookDelivery.objects.aggregate(
            due=Count("pk", filter=due),
            retrying=Count("pk", filter=Q(state=WebhookDelivery.State.PENDING, tries__gt=0)),
            failed=Count("pk", filter=Q(state=WebhookDelivery.State.FAILED)),
        )
        family = GaugeMetricFamily("avatar_webhook_deliveries", "Webhook deliveries.", labels=["state"])
        for state, number in found.items():
            family.add_metric([state], number)
        yield family


class Queues(Collector):
    """What lies in Redis, and who is there to take it."""

    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("avatar_queue_depth", "Entries of a queue in Redis.", labels=["queue"])
        age = GaugeMetricFamily("avatar_queue_oldest_seconds", "Age of the oldest entry.", labels=["queue"])
        workers = GaugeMetricFamily("avatar_workers", "Workers of a queue.", labels=["queue"])
        reached = GaugeMetricFamily("avatar_redis_up", "Whether Redis answered this scrape.", value=1)
        try:
            with redis_client() as redis:
                for queue in all_queues(redis):
                    depth.add_metric([queue.name], queue.count)
                    age.add_metric([queue.name], oldest_seconds(queue))
                    workers.add_metric([queue.name], Worker.count(connection=redis, queue=queue))
        except RedisError:
            # What the database says is worth more while Redis is away.
            log.exception("Redis doesn't answer the scrape")
            reached = GaugeMetricFamily("avatar_redis_up", "Whether Redis answered this scrape.", value=0)
        yield from (depth, age, workers, reached)


def all_queues(redis: Redis) -> list[Queue]:
    return [
        *(render_queue(engine, redis) for engine in EngineName),
        report_queue(redis),
        outbound_queue(redis),
    ]


def oldest_seconds(queue: Queue) -> float:
    first = queue.get_jobs(0, 1)
    if not first or first[0].enqueued_at is None:
        return 0
    return (timezone.now() - first[0].enqueued_at).total_seconds()
