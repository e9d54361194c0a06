"""Sends deliveries, hundreds at once: one thread waits for all receivers, a few talk to the database."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

from avatar_api.common.transient_errors import transient_cause
from gpu_worker.common import logs
from jobs import tracing
from jobs.webhooks import delivery
from jobs.webhooks.delivery import Claim, Outcome

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

log = logging.getLogger(__name__)

PLACES = 500
"""Messages at once in one process."""
DATABASE_THREADS = 4
RETRY_SECONDS = 1.0
NOT_MADE = "The message couldn't be made."


class Sender:
    """Running from its making to `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._database = ThreadPoolExecutor(DATABASE_THREADS, "deliveries")
        self._thread = threading.Thread(target=self._loop.run_forever, name="sender")
        self._thread.start()

    def begin(self, claim: Claim) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(self._deliver(claim), self._loop)

    def close(self, seconds: float) -> None:
        """Let what is being sent end, for so long at most; the rest is sent again by another process."""
        asyncio.run_coroutine_threadsafe(self._end_all(seconds), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._database.shutdown()

    async def _end_all(self, seconds: float) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, late = await asyncio.wait(others, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _deliver(self, claim: Claim) -> None:
        job = claim.delivery.job
        with (
            logs.bound(delivery=claim.delivery.id),
            tracing.work_for(job, "deliver") if job else nullcontext(),
        ):
            outcome = await self._send(claim)
            log.info("try %d was answered with %s", claim.delivery.tries, outcome.status or "nothing")
            await self._settle(claim, outcome)

    async def _send(self, claim: Claim) -> Outcome:
        try:
            message = await self._in_database(delivery.message_of, claim)
        except Exception:  # One message that can't be made must be given up in the end, like any other.
            log.exception("the message can't be made")
            return Outcome(error=NOT_MADE)
        return await delivery.send(message)

    async def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Wait for a database that is away, until the lease is over and the message is sent again."""
        last = time.monotonic() + delivery.LEASE.total_seconds()
        while True:
            try:
                return await self._in_database(delivery.settle, claim, outcome)
            except Exception as error:
                if transient_cause(error) is None or time.monotonic() > last:
                    raise
                log.warning("%s: the outcome of a try waits for it", transient_cause(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _in_database(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        def call() -> Result:
            close_old_connections()
            try:
                return function(*args, **kwargs)
            finally:
                close_old_connections()

        return await self._loop.run_in_executor(self._database, call)
