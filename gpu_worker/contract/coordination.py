"""What control side and render workers tell each other through Redis outside of the queues.

    job:<id>              hash {attempt, stop}   written by control: which attempt counts, and whether to stop
    lease:<id>:<attempt>  string, 60 s           held by the worker: this attempt is alive
    progress:<id>         string, JSON           written by the worker between steps; published on `progress`
    worker:<name>         string, JSON, 60 s     written by the worker with its heartbeat, for metrics only
    worker:heartbeat:<name>  string, JSON, 60 s  what the worker does at this moment; see `heartbeats`
    worker:gone:<name>    string, an hour        the process of this worker has ended
    workers               set                    the names of those

Postgres is the truth. Losing all of this loses no job: control writes the hash again at the next attempt.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import cast

from redis import Redis

from gpu_worker.contract import reading
from gpu_worker.contract.reading import UnreadableError

LEASE_SECONDS = 60
HEARTBEAT_SECONDS = 5
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

    def __post_init__(self) -> None:
        if not (self.attempt >= 0 and 0 <= self.window <= self.windows and 0 <= self.step <= self.steps):
            raise ValueError("progress outside of what there is to do")
        if not 0 <= self.fraction <= 1:
            raise ValueError("a fraction outside of 0 to 1")


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

    def __post_init__(self) -> None:
        if self.spec_version < 1:
            raise ValueError("no version of a spec")

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
    try:
        return _control(values)
    except ValueError as error:
        reading.dropped("control", error)
        return None


def _control(values: dict[bytes, bytes]) -> Control:
    stop = reading.text(values.get(b"stop", b""))
    return Control(int(reading.text(values[b"attempt"])), Stop(stop) if stop else None)


def hold_lease(redis: Redis, job_id: str, attempt: int, worker: str) -> None:
    """Say that an attempt is alive.

    Nobody gives a lease back: it lasts while the attempt's last report is on its way, so that the attempt
    isn't taken for lost in between. That it has run out says for sure that no worker is at the attempt.
    """
    redis.set(f"lease:{job_id}:{attempt}", worker, ex=LEASE_SECONDS)


@dataclass(frozen=True)
class Lease:
    """Who holds an attempt, and for how long that hasn't been said again."""

    worker: str
    silent_seconds: float


def read_leases(redis: Redis, attempts: Sequence[tuple[str, int]]) -> list[Lease | None]:
    """The leases of attempts, in their order; None for one that nobody holds."""
    if not attempts:
        return []
    pipeline = redis.pipeline(transaction=False)
    for job_id, attempt in attempts:
        pipeline.get(f"lease:{job_id}:{attempt}")
        pipeline.pttl(f"lease:{job_id}:{attempt}")
    answers = pipeline.execute(raise_on_error=False)
    return [_lease(*pair) for pair in zip(answers[::2], answers[1::2], strict=True)]


def _lease(worker: object, milliseconds_left: object) -> Lease | None:
    if worker is None:
        return None
    try:
        return Lease(reading.text(worker), silent_seconds(milliseconds_left, LEASE_SECONDS))
    except UnreadableError as error:
        reading.dropped("a lease", error)
        return None


def silent_seconds(milliseconds_left: object, lasting_seconds: float) -> float:
    """How long ago a key was written that lasts for `lasting_seconds`, by what Redis says is left of it.

    One that lasts for ever is none of ours, and counts as old.

    Raises:
        UnreadableError: It isn't a number of milliseconds.
    """
    if not isinstance(milliseconds_left, int):
        raise UnreadableError("no time that is left")
    return min(lasting_seconds, max(0.0, lasting_seconds - max(0, milliseconds_left) / 1000))


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
    found = {
        job_id: _progress(value) for job_id, value in zip(job_ids, values, strict=True) if value is not None
    }
    return {job_id: progress for job_id, progress in found.items() if progress is not None}


def _progress(value: bytes) -> Progress | None:
    try:
        return reading.read(Progress, reading.parse(value))
    except UnreadableError as error:
        reading.dropped("progress", error)
        return None


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
    """All workers that have reported within the last minute, by name.

    What somebody tells who is none of ours is left out.
    """
    names = worker_names(redis)
    if not names:
        return []
    values = cast("list[bytes | None]", redis.mget([f"worker:{name}" for name in names]))
    found = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    if gone := set(names) - found.keys():
        redis.srem("workers", *gone)
    return [facts for name, value in found.items() if (facts := _worker_facts(name, value))]


def worker_names(redis: Redis) -> list[str]:
    """The names of workers that were there within the last minute, and perhaps of some that have left."""
    found = []
    for name in cast("set[bytes]", redis.smembers("workers")):
        try:
            found.append(reading.text(name))
        except UnreadableError as error:
            reading.dropped("the name of a worker", error)
            redis.srem("workers", name)
    return sorted(found)


def _worker_facts(name: str, value: bytes) -> WorkerFacts | None:
    try:
        facts = reading.read(WorkerFacts, reading.parse(value))
        if facts.name != name:
            raise UnreadableError("facts under another worker's name")
        return facts
    except UnreadableError as error:
        reading.dropped("what a worker tells of itself", error)
        return None
