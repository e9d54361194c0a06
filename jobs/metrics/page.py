"""`/metrics` for Prometheus: this process's requests, and what database and Redis say of the deployment.

What is said of the deployment is read at each scrape and is the same from every web process: take its
maximum, never its sum.
"""

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from jobs.metrics.configured import Configured
from jobs.metrics.database import Deliveries, Ended, Jobs, WaitingJobs
from jobs.metrics.disks import Disks
from jobs.metrics.redis import Queues
from jobs.scheduling.autoscaling.metrics import EndpointMetrics

COLLECTORS: tuple[type[Collector], ...] = (
    *(Jobs, Ended, WaitingJobs, Deliveries),
    *(Queues, EndpointMetrics),
    *(Disks, Configured),
)


def metrics(request: HttpRequest) -> HttpResponse:
    """Everything, to whoever knows METRICS_TOKEN; where none is set, there is no such page."""
    given = request.headers.get("Authorization", "")
    wanted = f"Bearer {settings.METRICS_TOKEN}"
    if not settings.METRICS_TOKEN or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Http404
    text = generate_latest(of_processes()) + generate_latest(of_deployment())
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def of_processes() -> CollectorRegistry:
    """What this process counts, or all processes that share its folder: those of one server together."""
    if not settings.METRICS_FOLDER:
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared, settings.METRICS_FOLDER)
    return shared


def of_deployment() -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in COLLECTORS:
        registry.register(collector())
    return registry
