"""What control processes count for `/metrics`: every counter that they share, in one place."""

import time
from collections.abc import Mapping

from redis import Redis

from avatar_api.common import transient_errors
from avatar_api.common.redis import quick_client
from avatar_api.common.shared_counters import SharedCounter, SharedHistogram, key_of
from gpu_worker.contract import reading
from gpu_worker.contract.reading import UnreadableError
from jobs.models import Job

window_seconds = SharedHistogram(
    "avatar_window_seconds",
    "Worker seconds from one window of a job to the next; the first includes what precedes it.",
    labels=("engine", "preset", "resolution"),
    buckets=(0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560),
)
wait_seconds = SharedHistogram(
    "avatar_job_wait_seconds",
    "From a job's creation until a worker started it.",
    labels=("engine", "mode"),
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200),
)
repaired = SharedCounter(
    "avatar_repaired",
    "What rounds of reconcile have set going again.",
    labels=("what",),
    known=(("unrung",), ("lost",), ("rescued",)),
)
webhook_tries = SharedCounter(
    "avatar_webhook_tries",
    "Delivery attempts: failed ones are retried, those given up are not.",
    labels=("outcome",),
    known=(("succeeded",), ("failed",), ("given_up",)),
)

dropped = SharedCounter(
    "avatar_dropped",
    "Values of workers, Redis or the store that weren't what was agreed on.",
    labels=("kind",),
)
left_out = SharedCounter(
    "avatar_left_out",
    "Rows that a periodic step couldn't be done for, by step.",
    labels=("step",),
)

EVERYTHING: tuple[SharedCounter | SharedHistogram, ...] = (
    window_seconds,
    wait_seconds,
    repaired,
    webhook_tries,
    transient_errors.encountered,
    dropped,
    left_out,
)
"""What the page of metrics tells; a new counter is added here."""

LAST_RECONCILE = key_of("avatar_repair_last_round")


def count_windows(job: Job, number: int, seconds: float) -> None:
    """Windows that one report tells of together, and what they took."""
    for _ in range(number):
        window_seconds.observe(job.engine, job.preset, job.resolution, number=seconds / number)


def count_start(job: Job) -> None:
    assert job.started_at is not None
    waited = (job.started_at - job.created_at).total_seconds()
    wait_seconds.observe(job.engine, "live" if job.livemode else "test", number=waited)


def count_reconcile(counts: Mapping[str, int]) -> None:
    """A round of `reconcile` has ended; how much it has set going again, by what."""
    repaired.add_all({(what,): number for what, number in counts.items()})
    quick_client().set(LAST_RECONCILE, time.time())


def last_reconcile(redis: Redis) -> float:
    """When the last round ended, in Unix seconds; 0 where nobody knows."""
    kept = redis.get(LAST_RECONCILE)
    try:
        return 0.0 if kept is None else reading.number(kept)
    except UnreadableError as error:
        reading.dropped("a count", error)
        return 0.0
