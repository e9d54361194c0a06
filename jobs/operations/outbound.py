"""What `outbound` and `speech-cpu` processes do beside their queues.

The first send what is due and fetch what jobs wait for, the second have texts said. The queues only say that
there is something; all kinds of work are claimed from the database, have threads and places of their own, and
so never wait for each other.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
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
SPEECHES = 4
"""The same of jobs with a text, one of which is said at a time."""
WATCH_SECONDS = 1.0
# A container gets ten seconds to end in.
CLOSE_SECONDS = 5.0


@contextmanager
def working() -> Iterator[None]:
    """Deliver and fetch in the background meanwhile."""
    deliveries = Sender()
    loop = WorkLoop(
        "deliveries",
        claim=delivery.claim_due,
        begin=deliveries.begin,
        places=sender.PLACES,
        due=outbox.due_soon,
    )
    try:
        with _fetching("fetches", fetching.claim_fetches, FETCHES, [loop]):
            yield
    finally:
        deliveries.close(CLOSE_SECONDS)


@contextmanager
def speaking() -> Iterator[None]:
    """Have texts said in the background meanwhile."""
    with _fetching("speeches", partial(fetching.claim_fetches, speaking=True), SPEECHES, []):
        yield


@contextmanager
def _fetching(
    name: str, claim: Callable[[int], list[Fetch]], places: int, others: list[WorkLoop[Any]]
) -> Iterator[None]:
    """Run a loop of fetches, and others beside it."""
    stopped = threading.Event()
    fetches = Fetcher(places)
    own: WorkLoop[Any] = WorkLoop(name, claim=claim, begin=fetches.begin, places=places, due=fetching.due)
    loops = [*others, own]
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


class Fetcher:
    """Fetches for several jobs at once, each in a thread."""

    def __init__(self, places: int) -> None:
        self._threads = ThreadPoolExecutor(places, "fetches")
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
