"""Which render workers take jobs of an engine, and which of them are free: as they say themselves."""

from dataclasses import dataclass
from typing import cast

from redis import Redis
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from gpu_worker.contract import heartbeats
from gpu_worker.contract.engines import ENGINES, EngineName
from gpu_worker.contract.heartbeats import Heartbeat
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

    def free_beside(self, processing: int) -> int:
        """How many could take a job, where `processing` jobs of the engine are in work."""
        return self.free + max(0, self.silent - max(0, processing - self.busy))


def read_workers(engine: EngineName, redis: Redis) -> RenderWorkers:
    """Raises: RedisError: Redis is away."""
    taking = [
        heard.heartbeat
        for heard in heartbeats.read_all(redis).values()
        if heard.is_current and _takes(heard.heartbeat, engine)
    ]
    free = sum(heartbeat.is_free for heartbeat in taking)
    return RenderWorkers(free, len(taking) - free, _silent(engine, redis))


def _takes(heartbeat: Heartbeat, engine: EngineName) -> bool:
    return heartbeat.engine == engine and (heartbeat.taking or heartbeat.rendering)


def _silent(engine: EngineName, redis: Redis) -> int:
    """How many are registered with RQ under a name that says that they send no heartbeats."""
    keys = cast("set[bytes]", redis.smembers(WORKERS_BY_QUEUE_KEY % ENGINES[engine].queue))
    return sum(NAME_SEPARATOR.encode() not in key for key in keys)
