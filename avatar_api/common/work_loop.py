"""The loop of a worker that does many things at once: it claims work while there is room, and begins it."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from django.db import close_old_connections

Work = TypeVar("Work")

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
CLAIMED_AT_ONCE = 100


class WorkLoop(Generic[Work]):
    """Asks for work when it is due and once a second, since other processes may leave some behind.

    Args:
        name: What the work is, for logs.
        claim: Claims up to so many pieces of work.
        begin: Begins one.
        places: How many may be at work at once.
        due: Set by whoever knows that there is work.
    """

    def __init__(
        self,
        name: str,
        *,
        claim: Callable[[int], Sequence[Work]],
        begin: Callable[[Work], "Future[Any]"],
        places: int,
        due: threading.Event,
    ) -> None:
        self._name = name
        self._claim = claim
        self._begin = begin
        self._places = places
        self._due = due
        self._lock = threading.Lock()
        self._at_work: set[Future[Any]] = set()

    def run_until(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            self._due.wait(POLL_SECONDS)
            self._due.clear()
            self._begin_what_there_is()

    def _begin_what_there_is(self) -> None:
        places = min(self._places - len(self._at_work), CLAIMED_AT_ONCE)
        if places <= 0:
            return  # The end of any of them asks again.
        claimed = self._claimed(places)
        if len(claimed) == places:
            self._due.set()  # There may be more.
        for work in claimed:
            future = self._begin(work)
            with self._lock:
                self._at_work.add(future)
            future.add_done_callback(self._ended)

    def _claimed(self, places: int) -> Sequence[Work]:
        close_old_connections()
        try:
            return self._claim(places)
        except Exception:  # Whatever it is, it must not end the process for all others.
            log.exception("%s: nothing could be claimed; the next round follows", self._name)
            return ()
        finally:
            close_old_connections()

    def _ended(self, future: "Future[Any]") -> None:
        with self._lock:
            self._at_work.discard(future)
        self._due.set()
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("%s: one failed", self._name, exc_info=error)
