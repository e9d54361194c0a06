"""Counters of all processes together, also of those that nobody scrapes: hashes in Redis.

Control workers come and go and have no port. Whatever one of them counts, any web process tells. Losing
Redis starts the counters from zero, which Prometheus takes as it takes a restart; while Redis is away
nothing is counted, and what was to be counted goes on.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from avatar_api.common.redis import quick_client
from gpu_worker.contract import reading
from gpu_worker.contract.reading import UnreadableError

log = logging.getLogger(__name__)

INFINITY = "+Inf"
SUM = "sum"


@dataclass(frozen=True)
class SharedCounter:
    """A counter by label values.

    Attributes:
        name: As Prometheus knows it, without `_total`.
        documentation: What is counted.
        labels: Names of the labels.
        known: Label values that are told from the start, as zero: the first count is an increase then.
    """

    name: str
    documentation: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()

    def add(self, *values: str, by: float = 1) -> None:
        self.add_all({values: by})

    def add_all(self, numbers: Mapping[tuple[str, ...], float]) -> None:
        """Count several, by label values, in one exchange; zeros cost nothing."""
        counted = {values: number for values, number in numbers.items() if number}

        def write(pipeline: Pipeline) -> None:
            for values, number in counted.items():
                pipeline.hincrbyfloat(key_of(self.name), field_of(values), number)

        if counted:
            count(self.name, write)

    def collect(self, redis: Redis) -> CounterMetricFamily:
        family = CounterMetricFamily(self.name, self.documentation, labels=self.labels)
        for values, number in (dict.fromkeys(self.known, 0.0) | read_counts(redis, self.name)).items():
            if len(values) == len(self.labels):
                family.add_metric(values, number)
        return family


@dataclass(frozen=True)
class SharedHistogram:
    """A histogram by label values; `buckets` are upper bounds, ascending."""

    name: str
    documentation: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...]

    def observe(self, *values: str, number: float) -> None:
        bound = next((str(float(bound)) for bound in self.buckets if number <= bound), INFINITY)

        def write(pipeline: Pipeline) -> None:
            pipeline.hincrbyfloat(key_of(self.name), field_of((*values, bound)), 1)
            pipeline.hincrbyfloat(key_of(self.name), field_of((*values, SUM)), number)

        count(self.name, write)

    def collect(self, redis: Redis) -> HistogramMetricFamily:
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labels)
        numbers = read_counts(redis, self.name)
        for values in sorted({fields[:-1] for fields in numbers if len(fields) == len(self.labels) + 1}):
            total, buckets = 0.0, []
            for bound in (*(str(float(bound)) for bound in self.buckets), INFINITY):
                total += numbers.get((*values, bound), 0)
                buckets.append((bound, total))
            family.add_metric(values, buckets, numbers.get((*values, SUM), 0))
        return family


def count(name: str, write: Callable[[Pipeline], None]) -> None:
    try:
        pipeline = quick_client().pipeline()
        write(pipeline)
        pipeline.execute()
    except RedisError as error:
        log.warning("%s isn't counted: Redis is away (%s)", name, type(error).__name__)


def read_counts(redis: Redis, name: str) -> dict[tuple[str, ...], float]:
    """Numbers by label values; what isn't a count is left out."""
    found = cast("dict[bytes, bytes]", redis.hgetall(key_of(name)))
    counts: dict[tuple[str, ...], float] = {}
    for field, number in found.items():
        try:
            counts[_values_of(field)] = reading.number(number)
        except UnreadableError as error:
            log.warning("a count of %s can't be read: %s", name, error)
    return counts


def _values_of(field: bytes) -> tuple[str, ...]:
    values = reading.parse(field)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UnreadableError("no label values")
    return tuple(values)


def key_of(name: str) -> str:
    return f"metrics:{name}"


def field_of(values: tuple[str, ...]) -> str:
    return json.dumps(values)
