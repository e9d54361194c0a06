"""A job as its watchers see it, read and serialized once for all of them."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import close_old_connections
from rest_framework.utils.encoders import JSONEncoder

from jobs.models import Job
from jobs.presenters import etags, job_resource
from jobs.states import OPEN

THREADS = 2
KEPT_SECONDS = 60.0


@dataclass(frozen=True)
class Snapshot:
    """A job at one moment.

    Attributes:
        tag: Changes whenever anything but a signature does.
        body: The job as JSON.
    """

    tag: str
    status: str
    body: bytes

    @property
    def is_final(self) -> bool:
        return self.status not in OPEN


class Snapshots:
    """Reads jobs in a few threads; watchers that were woken by the same change share one reading."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "snapshots")
        self._recent: dict[tuple[str, str], tuple[float, asyncio.Task[Snapshot]]] = {}

    async def get(self, job_id: str, base_url: str, since: float) -> Snapshot:
        """The job as it was at `since`, on the monotonic clock, or later.

        It is for a watcher who has already been allowed to see the job.
        """
        begun_at, reading = self._recent.get((job_id, base_url), (0.0, None))
        if reading is None or begun_at < since:
            now = time.monotonic()
            self._prune(now)
            reading = asyncio.create_task(self._read(job_id, base_url))
            self._recent[job_id, base_url] = now, reading
        return await asyncio.shield(reading)

    def _prune(self, now: float) -> None:
        old = [key for key, (begun_at, _) in self._recent.items() if now - begun_at > KEPT_SECONDS]
        for key in old:
            del self._recent[key]

    async def _read(self, job_id: str, base_url: str) -> Snapshot:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, read_snapshot, job_id, base_url
        )

    def close(self) -> None:
        self._threads.shutdown()


def read_snapshot(job_id: str, base_url: str) -> Snapshot:
    """Read a job in the calling thread, whose connection serves for the next reading as well."""
    close_old_connections()
    try:
        shown = job_resource.present(Job.objects.get(pk=job_id), base_url)
    finally:
        close_old_connections()
    body = json.dumps(shown, cls=JSONEncoder, separators=(",", ":"), ensure_ascii=False).encode()
    return Snapshot(etags.of_job(shown), shown["status"], body)
