"""What each render worker does at this moment, and which of them have ended.

Workers send heartbeats every five seconds, and at once when something changes. By them control finds workers
that are free, and attempts that their worker no longer has. Workers of a release that sends none are judged
by their leases alone.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis

from gpu_worker.contract import coordination, reading
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import Lane, lanes_for
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.reading import UnreadableError

KEPT_SECONDS = 60
GONE_SECONDS = 3600
OFFERED_SECONDS = 7 * 24 * 3600
"""So long after the last worker was there it is remembered what workers have weights for."""


@dataclass(frozen=True)
class Process:
    """Where a worker runs, so that a neighbour can say whether it still does.

    Attributes:
        machine: The boot of the machine and the host's name: the same for all that see the same processes,
            and for a container that was started again.
        namespace: In which `pid` means something.
        pid: The process.
        started: When, in the kernel's count: a number that was given again belongs to another process.
    """

    machine: str
    namespace: str
    pid: int
    started: int


@dataclass(frozen=True)
class Heartbeat:
    """What a worker does.

    Attributes:
        name: The worker's, as its leases show it.
        engine: What it renders with.
        taking: Whether it takes jobs from the queue: it is neither ending nor between two turns.
        attempts: Job and attempt of what it has in work, and of those with reports that it couldn't send yet.
        rendering: Whether one of them is in work.
        same_for_seconds: For how long all this has been so.
        process: Where it runs; None where nothing can be said of processes.
        presets: Those that it has weights for; None where it doesn't say.
    """

    name: str
    engine: str
    taking: bool
    attempts: tuple[tuple[str, int], ...]
    rendering: bool
    same_for_seconds: float
    process: Process | None = None
    presets: tuple[str, ...] | None = None

    @property
    def lanes(self) -> frozenset[Lane]:
        """Where it takes its jobs from; none for an engine that this release doesn't know."""
        known = self.engine in set(EngineName)
        return lanes_for(EngineName(self.engine), self.presets) if known else frozenset()

    @property
    def is_free(self) -> bool:
        return self.taking and not self.rendering


@dataclass(frozen=True)
class Heard:
    """A heartbeat, and how long ago it was."""

    heartbeat: Heartbeat
    silent_seconds: float

    @property
    def is_current(self) -> bool:
        """Whether the next one isn't overdue."""
        return self.silent_seconds <= overdue_seconds()

    @property
    def same_for_seconds(self) -> float:
        return self.heartbeat.same_for_seconds + self.silent_seconds


def overdue_seconds() -> float:
    """After two heartbeats that didn't come, something is wrong."""
    return 2 * coordination.HEARTBEAT_SECONDS + 2


def write(redis: Redis, heartbeat: Heartbeat) -> None:
    pipeline = redis.pipeline()
    pipeline.set(_key(heartbeat.name), json.dumps(asdict(heartbeat)), ex=KEPT_SECONDS)
    pipeline.sadd("workers", heartbeat.name)
    for preset in heartbeat.presets or ():
        pipeline.set(_offered_key(heartbeat.engine, preset), "1", ex=OFFERED_SECONDS)
    pipeline.execute()


def read_offered(redis: Redis, engine: EngineName) -> frozenset[str] | None:
    """The presets that workers have had weights for lately; None where nothing is known."""
    answers: Any = redis.mget([_offered_key(engine, preset) for preset in PresetName])
    found = zip(PresetName, answers, strict=True)
    return frozenset(preset for preset, answer in found if answer is not None) or None


def _offered_key(engine: str, preset: str) -> str:
    return f"worker:offered:{engine}:{preset}"


def declare_gone(redis: Redis, name: str) -> None:
    """Say that the process of a worker has ended, so that whatever it had in work is lost."""
    pipeline = redis.pipeline()
    pipeline.set(_gone_key(name), "1", ex=GONE_SECONDS)
    pipeline.delete(_key(name))
    pipeline.execute()


def read_all(redis: Redis) -> dict[str, Heard]:
    """The last heartbeat of each worker that was heard within the last minute."""
    names = coordination.worker_names(redis)
    pipeline = redis.pipeline(transaction=False)
    for name in names:
        pipeline.get(_key(name))
        pipeline.pttl(_key(name))
    answers = pipeline.execute(raise_on_error=False) if names else []
    found = {
        name: _heard(name, *pair)
        for name, pair in zip(names, zip(answers[::2], answers[1::2], strict=True), strict=True)
    }
    return {name: heard for name, heard in found.items() if heard is not None}


def read_gone(redis: Redis, names: Iterable[str]) -> set[str]:
    """Those of the workers whose process is known to have ended."""
    wanted = sorted(set(names))
    if not wanted:
        return set()
    answers: Any = redis.mget([_gone_key(name) for name in wanted])
    return {name for name, answer in zip(wanted, answers, strict=True) if answer is not None}


def _heard(name: str, value: object, milliseconds_left: object) -> Heard | None:
    if value is None:
        return None
    try:
        heartbeat = reading.read(Heartbeat, reading.parse(reading.text(value)))
        if heartbeat.name != name:
            raise UnreadableError("a heartbeat under another worker's name")
        return Heard(heartbeat, coordination.silent_seconds(milliseconds_left, KEPT_SECONDS))
    except UnreadableError as error:
        reading.dropped("a heartbeat", error)
        return None


def _key(name: str) -> str:
    return f"worker:heartbeat:{name}"


def _gone_key(name: str) -> str:
    return f"worker:gone:{name}"
