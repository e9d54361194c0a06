"""Which render workers take jobs of an engine, and which of them are free: as they say themselves."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from redis import Redis
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from gpu_worker.contract import heartbeats
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.heartbeats import Heartbeat
from gpu_worker.contract.lanes import LANES, Lane, lanes_for
from gpu_worker.contract.queues import NAME_SEPARATOR


@dataclass(frozen=True)
class RenderWorkers:
    """Workers of one engine.

    Attributes:
        free: Those that say that they have no job.
        busy: Those that say that they have one.
        silent: Those of a release that says neither; rows tell how many of them have a job.
    """

    free: int = 0
    busy: int = 0
    silent: int = 0

    @property
    def number(self) -> int:
        return self.free + self.busy + self.silent

    def __add__(self, more: "RenderWorkers") -> "RenderWorkers":
        return RenderWorkers(self.free + more.free, self.busy + more.busy, self.silent + more.silent)

    def free_beside(self, processing: int) -> int:
        """How many could take a job, where `processing` jobs of the engine are in work."""
        return self.free + max(0, self.silent - max(0, processing - self.busy))


def read_workers(engine: EngineName, redis: Redis) -> RenderWorkers:
    """All workers of an engine.

    Raises:
        RedisError: Redis is away.
    """
    return _counted(list(_taking(engine, redis)), _silent(engine, redis))


def read_crews(engine: EngineName, redis: Redis) -> Mapping[frozenset[Lane], RenderWorkers]:
    """The workers of an engine by the lanes from which they take jobs.

    Raises:
        RedisError: Redis is away.
    """
    crews: dict[frozenset[Lane], list[Heartbeat]] = defaultdict(list)
    for heartbeat in _taking(engine, redis):
        crews[heartbeat.lanes].append(heartbeat)
    silent, silent_lanes = _silent(engine, redis), lanes_for(engine, None)
    if silent:
        crews.setdefault(silent_lanes, [])
    return {
        lanes: _counted(members, silent if lanes == silent_lanes else 0) for lanes, members in crews.items()
    }


def read_pools(engine: EngineName, redis: Redis) -> Mapping[frozenset[Lane], RenderWorkers]:
    """The lanes of an engine parted by the workers that they share, with these: no worker is in two parts.

    Raises:
        RedisError: Redis is away.
    """
    crews = read_crews(engine, redis)
    pools = [frozenset({lane}) for lane in LANES if lane.engine is engine]
    for lanes in crews:
        apart = [pool for pool in pools if pool.isdisjoint(lanes)]
        together = frozenset().union(*(pool for pool in pools if pool not in apart))
        pools = [*apart, together] if together else apart
    return {
        pool: sum((workers for lanes, workers in crews.items() if lanes and lanes <= pool), RenderWorkers())
        for pool in pools
    }


def _counted(members: list[Heartbeat], silent: int) -> RenderWorkers:
    free = sum(heartbeat.is_free for heartbeat in members)
    return RenderWorkers(free, len(members) - free, silent)


def _taking(engine: EngineName, redis: Redis) -> Iterator[Heartbeat]:
    for heard in heartbeats.read_all(redis).values():
        heartbeat = heard.heartbeat
        if heard.is_current and heartbeat.engine == engine and (heartbeat.taking or heartbeat.rendering):
            yield heartbeat


def _silent(engine: EngineName, redis: Redis) -> int:
    """How many are registered with RQ under a name that says that they send no heartbeats."""
    (lane,) = lanes_for(engine, None)
    keys = cast("set[bytes]", redis.smembers(WORKERS_BY_QUEUE_KEY % lane.queue))
    return sum(NAME_SEPARATOR.encode() not in key for key in keys)
