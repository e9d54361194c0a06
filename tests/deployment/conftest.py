import time

import pytest
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from pytest_django import Settings
from redis import Redis

from avatar_api.common import observation  # noqa: F401  (registers the metrics of a web process)
from jobs.metrics.page import of_deployment
from jobs.scheduling.autoscaling import status
from jobs.scheduling.autoscaling.runpod import Health, Workers

SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
}


@pytest.fixture
def exported(db: None, redis: Redis, settings: Settings) -> dict[str, list[str]]:
    """All metrics of ours that a deployment with an endpoint has: by name, the names of their series."""
    settings.RUNPOD_ENDPOINT_ID = "an-endpoint"
    status.save(redis, status.EndpointStatus(time.time(), Health(1, 1, Workers())))
    metrics: list[Metric] = [*REGISTRY.collect(), *of_deployment().collect()]
    return {
        metric.name: [f"{metric.name}{suffix}" for suffix in SUFFIXES[metric.type]]
        for metric in metrics
        if metric.name.startswith("avatar_")
    }
