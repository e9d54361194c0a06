"""What control side and render workers tell each other through Redis outside of the queues.

    job:<id>              hash {attempt, stop}   written by control: which attempt counts, and whether to stop
    lease:<id>:<attempt>  string, 60 s           held by the worker: this attempt is alive
    progress:<id>         string, JSON           written by the worker between steps; published on `progress`
    worker:<name>         string, JSON, 60 s     written by the worker with its heartbeat, for metrics only
    workers               set                    the names of those

Postgres is the truth. Losing all of this loses no job: control writes the hash again at the next attempt.
"""

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import cast

from redis import Redis

LEASE_SECONDS = 60
HEARTBEAT_SECONDS = 10
WORKER_SECONDS = 60
CONTROL_SECONDS = 7 * 24 * 3600
PROGRESS_SECONDS = 24 * 3600
PROGRESS_CHANNEL = "progress"


class Stop(StrEnum):
    """Why a worker should stop between two steps."""

    CANCEL = "cancel"
    YIELD = "yield"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True)
class Control:
    """What control says of a job: the attempt that counts, and a request to stop it."""

    attempt: int
    stop: Stop | None


@dataclass(frozen=True)
class Progress:
    """Where an attempt is, between two steps.

    Attributes:
        window: Index of the window in work.
        windows: How many there are.
        fraction: Share of the whole job that is done, 0–1.
    """

    attempt: int
    stage: str
    window: int
    windows: int
    step: int
    steps: int
    fraction: float


@dataclass(frozen=True)
class WorkerFacts:
    """What a render worker tells of itself.

    Attributes:
        name: The worker's, as its leases show it.
        engine: What it renders with.
        device: The GPU's name, or `cpu`.
        load_seconds: What loading the models into memory took the last time; 0 where there are none.
        loaded_bytes: The size of their weights; by `load_seconds` the rate at which the volume was read.
        cold_start_seconds: From the start of the process until it could take the first job.
        vram_used_bytes: Of the GPU's memory, at this moment, whoever uses it; None on a CPU, as all of these.
        vram_total_bytes: Of the GPU.
        vram_peak_bytes: The most that the models held since the job in work, or else the last one, began.
        utilisation: The share of the last second in which the GPU computed, 0–1; None where nobody can tell.
        uncompiled_calls: How often a block ran uncompiled although it should not have, since the models were
            loaded.
        storage_errors: How often the object store failed a try, since the process started.
        render_seconds: How long attempts have held the worker, since the process started.
        spec_version: The newest version of specs that it reads; 1 where it doesn't say.
    """

    name: str
    engine: str
    device: str
    load_seconds: float
    loaded_bytes: int
    cold_start_seconds: float
    vram_used_bytes: int | None
    vram_total_bytes: int | None
    vram_peak_bytes: int | None
    utilisation: float | None
    storage_errors: int
    render_seconds: float
    spec_version: int = 1
    uncompiled_calls: int = 0


def announce_attempt(redis: Redis, job_id: str, attempt: int) -> None:
    """Say which attempt counts from now on; older ones stop at their next look."""
    key = f"job:{job_id}"
    pipeline = redis.pipeline()
    pipeline.delete(key)
    pipeline.hset(key, mapping={"attempt": attempt, "stop": ""})
    pipeline.expire(key, CONTROL_SECONDS)
    pipeline.execute()


def request_stop(redis: Redis, job_id: str, stop: Stop) -> None:
    redis.hset(f"job:{job_id}", "stop", stop.value)


def read_control(redis: Redis, job_id: str) -> Control | None:
    """What control says of the job, or None when Redis has forgotten it (then nothing forbids going on)."""
    values = cast("dict[bytes, bytes]", redis.hgetall(f"job:{job_id}"))
    if b"attempt" not in values:
        return None
    stop = values.get(b"stop", b"").decode()
    return Control(int(values[b"attempt"]), Stop(stop) if stop else None)


def hold_lease(redis: Redis, job_id: str, attempt: int, worker: str) -> None:
    """Say that an attempt is alive.

    Nobody gives a lease back: it lasts while the attempt's last report is on its way, so that the attempt
    isn't taken for lost in between. That it has run out says for sure that no worker is at the attempt.
    """
    redis.set(f"lease:{job_id}:{attempt}", worker, ex=LEASE_SECONDS)


def lease_held(redis: Redis, job_id: str, attempt: int) -> bool:
    return bool(redis.exists(f"lease:{job_id}:{attempt}"))


def write_progress(redis: Redis, job_id: str, progress: Progress) -> None:
    pipeline = redis.pipeline()
    pipeline.set(f"progress:{job_id}", json.dumps(asdict(progress)), ex=PROGRESS_SECONDS)
    pipeline.publish(PROGRESS_CHANNEL, job_id)
    pipeline.execute()


def publish_change(redis: Redis, job_id: str) -> None:
    """Wake whoever watches the job."""
    redis.publish(PROGRESS_CHANNEL, job_id)


def read_progress(redis: Redis, job_ids: list[str]) -> dict[str, Progress]:
    """Live progress of those of the jobs that have any."""
    if not job_ids:
        return {}
    values = cast("list[bytes | None]", redis.mget([f"progress:{job_id}" for job_id in job_ids]))
    return {
        job_id: Progress(**json.loads(value))
        for job_id, value in zip(job_ids, values, strict=True)
        if value is not None
    }


def write_worker(redis: Redis, facts: WorkerFacts) -> None:
    """Show a worker for the next minute."""
    pipeline = redis.pipeline()
    pipeline.set(f"worker:{facts.name}", json.dumps(asdict(facts)), ex=WORKER_SECONDS)
    pipeline.sadd("workers", facts.name)
    pipeline.execute()


def forget_worker(redis: Redis, name: str) -> None:
    """Show a worker no longer, for it ends."""
    pipeline = redis.pipeline()
    pipeline.delete(f"worker:{name}")
    pipeline.srem("workers", name)
    pipeline.execute()


def read_workers(redis: Redis) -> list[WorkerFacts]:
    """All workers that have told of themselves within the last minute, by name.

    What another version tells, or somebody who is none of ours, is left out.
    """
    names = sorted(name.decode() for name in cast("set[bytes]", redis.smembers("workers")))
    if not names:
        return []
    values = cast("list[bytes | None]", redis.mget([f"worker:{name}" for name in names]))
    told = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    if gone := set(names) - told.keys():
        redis.srem("workers", *gone)
    return [facts for value in told.values() if (facts := _worker_facts(value))]


def _worker_facts(value: bytes) -> WorkerFacts | None:
    try:
        data = json.loads(value)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    data.setdefault("spec_version", 1)
    if data.keys() != {field.name for field in fields(WorkerFacts)}:
        return None
    texts = {"name": str, "engine": str, "device": str}
    fit = all(isinstance(told, texts.get(name, int | float | None)) for name, told in data.items())
    return WorkerFacts(**data) if fit else None
