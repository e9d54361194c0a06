"""What a worker tells of itself: its heartbeat, by which control decides, and facts for metrics alone."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict

from redis.exceptions import RedisError

from gpu_worker.contract import coordination, heartbeats
from gpu_worker.contract.coordination import WorkerFacts
from gpu_worker.contract.spec import SPEC_VERSION
from gpu_worker.runtime import neighbours
from gpu_worker.runtime.context import WorkerContext
from gpu_worker.runtime.periodic_thread import PeriodicThread

_IMPORTED_AT = time.monotonic()


@contextmanager
def sending(worker: WorkerContext, started_with: int) -> Iterator[None]:
    """Show a worker that is ready until the block ends.

    Args:
        worker: The worker.
        started_with: The process with whose start its cold start began.
    """
    cold_start_seconds = process_seconds(started_with)

    here = neighbours.this_process()

    def beat() -> None:
        heartbeats.write(worker.redis, worker.heartbeat(here))

    def tell() -> None:
        beat()
        neighbours.declare_gone(worker.redis, here)
        coordination.write_worker(worker.redis, collect(worker, cold_start_seconds))

    with suppress(RedisError):  # The ticker tries again, and says so when Redis stays away.
        tell()
    worker.on_change = beat
    with PeriodicThread(coordination.HEARTBEAT_SECONDS, tell, "facts"):
        yield
    worker.on_change = None
    forget(worker)


def forget(worker: WorkerContext) -> None:
    """Say that the worker ends."""
    with suppress(RedisError):  # Then it is forgotten within a minute.
        heartbeats.declare_gone(worker.redis, worker.name)
        coordination.forget_worker(worker.redis, worker.name)


def collect(worker: WorkerContext, cold_start_seconds: float) -> WorkerFacts:
    """What there is to tell at this moment."""
    info = worker.engine.info
    return WorkerFacts(
        name=worker.name,
        engine=info.engine,
        device=info.device,
        cold_start_seconds=round(cold_start_seconds, 2),
        storage_errors=worker.storage_errors,
        render_seconds=round(worker.render_seconds, 2),
        spec_version=SPEC_VERSION,
        **asdict(worker.engine.vitals),
    )


def process_seconds(pid: int) -> float:
    """How old a process is. Replacing its program doesn't make it younger: `startup.sh` is counted in."""
    try:
        started_at = neighbours.started_at(pid) / os.sysconf("SC_CLK_TCK")
    except FileNotFoundError:  # Only Linux tells.
        return time.monotonic() - _IMPORTED_AT
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_at
