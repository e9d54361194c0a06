"""What the operator has set and alerts reckon with."""

from collections.abc import Iterator

from django.conf import settings
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Configured(Collector):
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "avatar_gpu_price_usd", "Price of a GPU second.", value=settings.GPU_USD_PER_SECOND
        )
        yield GaugeMetricFamily(
            "avatar_gpu_budget_usd",
            "What GPUs may cost per day; 0: not set.",
            value=settings.GPU_BUDGET_USD_PER_DAY,
        )
