"""How many seconds of a worker a window takes: as measured here lately, or as the model's operations say.

Measuring asks the database for the last jobs of each kind. `operations.reconcile` does it once a round and
publishes the result in Redis, so that whoever dispatches or shows a job needs no query for it.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import NamedTuple, cast

from django.db import connection
from redis import Redis

from gpu_worker.contract import costs, reading
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.presets import PresetName, Resolution
from gpu_worker.contract.reading import UnreadableError
from jobs.models import Job

KEY = "paces"
KEPT_SECONDS = 600
MAX_WINDOW_SECONDS = 24 * 3600
HISTORY = 50
"""How many of the newest jobs of a kind tell how long a window takes."""
PREVIEW_SECONDS_PER_WINDOW = 1.5
"""Before any was measured here: 72 frames at the 50 to 110 a second of two slow cores, and encoding them."""


class RenderKind(NamedTuple):
    """Jobs whose windows take equally long."""

    engine: str
    preset: str
    resolution: str


WindowSeconds = Mapping[RenderKind, float]
"""Measured seconds a window, of those kinds of which some job has ended."""


def kind_of(job: Job) -> RenderKind:
    return RenderKind(job.engine, job.preset, job.resolution)


MEDIANS = """
    SELECT engine, preset, resolution,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY newest.gpu_seconds / newest.windows)
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS kind (engine, preset, resolution)
    CROSS JOIN LATERAL (
        SELECT gpu_seconds, windows FROM jobs_job AS job
        WHERE (job.engine, job.preset, job.resolution) = (kind.engine, kind.preset, kind.resolution)
              AND job.status = 'succeeded'
        ORDER BY job.id DESC LIMIT %s
    ) AS newest
    GROUP BY engine, preset, resolution
"""


def measure(kinds: Sequence[RenderKind]) -> WindowSeconds:
    """The medians of the last jobs of these kinds here, whosever they were; none of a kind that never ran."""
    with connection.cursor() as cursor:
        cursor.execute(MEDIANS, [*(list(names) for names in zip(*kinds, strict=True)), HISTORY])
        return {RenderKind(*names): seconds for *names, seconds in cursor.fetchall()}


def publish(redis: Redis) -> None:
    """Measure every kind, and publish the result."""
    found = measure([RenderKind(*names) for names in product(EngineName, PresetName, Resolution)])
    pipeline = redis.pipeline()
    pipeline.delete(KEY)
    for kind, seconds in found.items():
        pipeline.hset(KEY, ":".join(kind), str(seconds))
    pipeline.expire(KEY, KEPT_SECONDS)
    pipeline.execute()


def read_published(redis: Redis) -> WindowSeconds:
    """What was published; nothing when Redis has lost it."""
    return parse(cast("dict[bytes, bytes]", redis.hgetall(KEY)))


def parse(found: Mapping[bytes, bytes]) -> WindowSeconds:
    """What was told, without what nobody can have measured."""
    measured: dict[RenderKind, float] = {}
    for name, seconds in found.items():
        try:
            measured[_kind(name)] = _positive(seconds)
        except UnreadableError as error:
            reading.dropped("the time of a window", error)
    return measured


def _kind(name: bytes) -> RenderKind:
    parts = reading.text(name).split(":")
    if len(parts) != len(RenderKind._fields):
        raise UnreadableError("no kind of render")
    return RenderKind(*parts)


def _positive(seconds: bytes) -> float:
    found = reading.number(seconds)
    if not 0 < found <= MAX_WINDOW_SECONDS:
        raise UnreadableError("a time that no window takes")
    return found


def seconds_per_window(kind: RenderKind, measured: WindowSeconds) -> float:
    found = measured.get(kind)
    return counted_per_window(kind) if found is None else found


@cache
def counted_per_window(kind: RenderKind) -> float:
    """From the operations that the model does for one speaker."""
    if kind.engine == EngineName.PREVIEW:
        return PREVIEW_SECONDS_PER_WINDOW
    return costs.estimated_gpu_seconds(
        num_frames=1, resolution=Resolution(kind.resolution), preset=PresetName(kind.preset)
    )


def seconds_left(job: Job, measured: WindowSeconds) -> float:
    """What the windows take that aren't finished."""
    windows_left = max(0, job.windows - len(job.window_prefixes))
    return windows_left * seconds_per_window(kind_of(job), measured)
