"""Bounds the memory of all probes that run at once in this process, and the share of each tenant."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from jobs.intake.sandbox import SandboxError

MAX_RUNNING, MAX_WAITING = 2, 2
"""Of one tenant: it takes neither all the memory nor, by waiting, all the threads of requests."""
WAIT_SECONDS = 10.0


class ProbesBusyError(SandboxError):
    """No probe can be started within the time that a request may wait."""


class ProbeMemory:
    """Memory that probes share.

    Args:
        num_bytes: What all that run at once may take together; one always runs, however much it may take.
        wait_seconds: How long a probe waits for its turn.
    """

    def __init__(self, num_bytes: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._num_bytes, self._wait_seconds = num_bytes, wait_seconds
        self._taken = 0
        self._running: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, owner: str, num_bytes: int) -> Iterator[None]:
        """Hold memory for a probe of `owner`, once there is enough.

        Raises:
            ProbesBusyError: There wasn't in time, or too many probes of this owner wait already.
        """
        with self._changed:
            self._wait(owner, num_bytes)
            self._running[owner] += 1
            self._taken += num_bytes
        try:
            yield
        finally:
            with self._changed:
                _decrement(self._running, owner)
                self._taken -= num_bytes
                self._changed.notify_all()

    def _wait(self, owner: str, num_bytes: int) -> None:
        if self._has_room(owner, num_bytes):
            return
        if self._waiting[owner] >= MAX_WAITING:
            raise ProbesBusyError("too many files of one tenant wait to be checked")
        self._waiting[owner] += 1
        try:
            if not self._changed.wait_for(lambda: self._has_room(owner, num_bytes), self._wait_seconds):
                raise ProbesBusyError("too many files are being checked")
        finally:
            _decrement(self._waiting, owner)

    def _has_room(self, owner: str, num_bytes: int) -> bool:
        fits = self._taken == 0 or self._taken + num_bytes <= self._num_bytes
        return fits and self._running[owner] < MAX_RUNNING


def _decrement(counter: Counter[str], owner: str) -> None:
    counter[owner] -= 1
    if not counter[owner]:
        del counter[owner]


probe_memory = ProbeMemory(settings.PROBE_MEMORY_BYTES)
