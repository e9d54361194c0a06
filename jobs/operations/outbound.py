"""What an `outbound` process does beside its queue: sends what is due, and fetches what jobs wait for.

The queue only says that there is something; both kinds of work are claimed from the database, have threads
and places of their own, and so never wait for each other.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import Error, close_old_connections

from avatar_api.common.work_loop import WorkLoop
from gpu_worker.common import logs
from jobs.lifecycle import fetching
from jobs.lifecycle.fetching import Fetch
from jobs.webhooks import delivery, outbox, sender
from jobs.webhooks.sender import Sender

log = logging.getLogger(__name__)

FETCHES = 16
"""At once in one process."""
WATCH_SECONDS = 1.0
# A container gets ten seconds to end in.
CLOSE_SECONDS = 5.0


@contextmanager
def working() -> Iterator[None]:
    """Deliver and fetch in the background meanwhile."""
    stopped = threading.Event()
    deliveries, fetches = Sender(), Fetcher()
    loops: list[WorkLoop[Any]] = [
        WorkLoop(
            "deliveries",
            claim=delivery.claim_due,
            begin=deliveries.begin,
            places=sender.PLACES,
            due=outbox.due_soon,
        ),
        WorkLoop(
            "fetches",
            claim=fetching.claim_fetches,
            begin=fetches.begin,
            places=FETCHES,
            due=fetching.due,
        ),
    ]
    threads = [threading.Thread(target=loop.run_until, args=(stopped,)) for loop in loops]
    threads.append(threading.Thread(target=fetches.watch_until, args=(stopped,)))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for event in (outbox.due_soon, fetching.due):
            event.set()
        for thread in threads:
            thread.join()
        fetches.close()
        deliveries.close(CLOSE_SECONDS)


class Fetcher:
    """Fetches for several jobs at once, each in a thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(FETCHES, "fetches")
        self._lock = threading.Lock()
        self._at_work: set[Fetch] = set()

    def begin(self, fetch: Fetch) -> "Future[None]":
        with self._lock:
            self._at_work.add(fetch)
        return self._threads.submit(self._fetch, fetch)

    def watch_until(self, stopped: threading.Event) -> None:
        """Keep the leases, and notice what was canceled."""
        while not stopped.wait(WATCH_SECONDS):
            self._with_database(fetching.renew_leases)

    def close(self) -> None:
        """Leave what is being fetched to another process."""
        self._with_database(fetching.give_back)
        self._threads.shutdown(cancel_futures=True)

    def _fetch(self, fetch: Fetch) -> None:
        close_old_connections()
        try:
            with logs.bound(job=fetch.job_id):
                fetching.fetch_inputs(fetch)
        finally:
            close_old_connections()
            with self._lock:
                self._at_work.discard(fetch)

    def _with_database(self, step: Callable[[list[Fetch]], object]) -> None:
        with self._lock:
            fetches = list(self._at_work)
        if not fetches:
            return
        close_old_connections()
        try:
            step(fetches)
        except Error:
            log.exception("the leases of fetches can't be written; the next round follows")
        finally:
            close_old_connections()
