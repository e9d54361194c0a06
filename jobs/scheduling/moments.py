"""What is computed once for everybody in this process who asks within a moment."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MOST_KEPT = 200
COSTS = 10
"""A value serves at least so many times as long as its computation took, so that a busy process computes
for a tenth of its time at most."""


@dataclass
class Slot(Generic[Value]):
    """The last value under a key; who computes a new one holds the lock, and others wait for it."""

    lock: Lock = field(default_factory=Lock)
    begun_at: float = float("-inf")
    took: float = 0.0
    value: Value | None = None


class Moments(Generic[Key, Value]):
    """Values by key, each of which serves for a moment."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slots: dict[Key, Slot[Value]] = {}

    def get(
        self, key: Key, seconds: float, make: Callable[[], Value], fits: Callable[[Value], bool]
    ) -> Value:
        """The value under `key`.

        Args:
            key: Of what is asked for.
            seconds: How old a value may be, from when its computation began; older where that took long,
                and 0 for one that serves nobody else.
            make: Computes a new one.
            fits: Whether one that is young enough can serve this caller.
        """
        slot = self._slot(key)
        with slot.lock:
            oldest = max(seconds, COSTS * slot.took) if seconds else 0.0
            young = time.monotonic() - slot.begun_at < oldest
            if slot.value is None or not young or not fits(slot.value):
                begun_at = time.monotonic()
                slot.value = make()
                slot.begun_at, slot.took = begun_at, time.monotonic() - begun_at
            return slot.value

    def _slot(self, key: Key) -> Slot[Value]:
        with self._lock:
            if key not in self._slots and len(self._slots) >= MOST_KEPT:
                del self._slots[next(iter(self._slots))]
            return self._slots.setdefault(key, Slot())
