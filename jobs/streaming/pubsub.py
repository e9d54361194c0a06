"""One Redis subscription per process wakes everybody who watches a job."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from avatar_api.common.cancellation import cancel
from avatar_api.common.redis import subscriber
from gpu_worker.contract.coordination import PROGRESS_CHANNEL

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0


class Watch:
    """One watcher of one job; `changed` remembers a wake-up that comes while nobody waits.

    Attributes:
        woken_at: When the job last may have changed, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.woken_at = time.monotonic()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self.woken_at = time.monotonic()
        self._woken.set()

    async def changed(self, timeout: float) -> bool:
        """Wait until the job may have changed; False when nothing was heard for `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class Hub:
    """Who watches what. The subscription begins with the first watcher and lasts as long as the process.

    While Redis is away watchers hear nothing; their own time-outs keep them looking.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._watches: dict[str, set[Watch]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        """Be woken at each change of the job."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        watch = Watch()
        self._watches[job_id].add(watch)
        try:
            yield watch
        finally:
            self._watches[job_id].discard(watch)
            if not self._watches[job_id]:
                del self._watches[job_id]

    async def close(self) -> None:
        if self._listening is not None:
            await cancel(self._listening)
            self._listening = None

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except RedisError as error:
                log.warning("live progress: Redis is away (%s)", type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _hear(self) -> None:
        async with subscriber(self._redis_url) as redis, redis.pubsub() as pubsub:
            await pubsub.subscribe(PROGRESS_CHANNEL)
            async for message in pubsub.listen():
                if message["type"] == "message":
                    self._wake(message["data"])
                else:
                    self._wake_all()  # Something may have been missed before this subscription.

    def _wake(self, job_id: bytes) -> None:
        for watch in tuple(self._watches.get(job_id.decode(errors="replace"), ())):
            watch.wake()

    def _wake_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()
