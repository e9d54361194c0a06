"""Waking as Prometheus sees it; nothing where no endpoint is configured."""

import logging
from collections.abc import Iterator
from dataclasses import asdict

from django.conf import settings
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from avatar_api.common.redis import quick_client
from avatar_api.common.shared_counters import SharedCounter
from jobs.scheduling.autoscaling import status
from jobs.scheduling.autoscaling.status import EndpointStatus

log = logging.getLogger(__name__)

WAKES = SharedCounter(
    "avatar_runpod_wakes",
    "Wakes that RunPod took (made), and rounds in which jobs waited and it didn't (failed).",
    ("outcome",),
    known=(("made",), ("failed",)),
)


class EndpointMetrics(Collector):
    """What the last round saw of the endpoint."""

    def collect(self) -> Iterator[Metric]:
        if not settings.RUNPOD_ENDPOINT_ID:
            return
        try:
            reading = status.latest()
            yield WAKES.collect(quick_client())
        except RedisError:
            log.exception("Redis doesn't tell of the endpoint")
            return
        yield from _families(reading)


def _families(reading: EndpointStatus | None) -> Iterator[Metric]:
    health = reading.health if reading else None
    requests = GaugeMetricFamily("avatar_runpod_requests", "The endpoint's requests.", labels=["state"])
    workers = GaugeMetricFamily("avatar_runpod_workers", "The endpoint's workers.", labels=["state"])
    if health is not None:
        requests.add_metric(["in_queue"], health.in_queue)
        requests.add_metric(["in_progress"], health.in_progress)
        for state, number in asdict(health.workers).items():
            workers.add_metric([state], number)
    known = int(health is not None)
    yield GaugeMetricFamily("avatar_runpod_up", "Whether RunPod reports the endpoint's health.", value=known)
    yield from (requests, workers)
    yield GaugeMetricFamily(
        "avatar_runpod_short_seconds",
        "For how long RunPod has had fewer workers at work than its requests call for.",
        value=reading.short_seconds if reading else 0,
    )
    yield GaugeMetricFamily(
        "avatar_runpod_unused_seconds",
        "For how long the endpoint has had no turn.",
        value=reading.unused_seconds if reading else 0,
    )
