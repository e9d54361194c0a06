"""How much of one kind somebody may have open at once in this process."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from avatar_api.common.problems import SOON, Problem


class Slots:
    """Counts what is open, for each owner.

    Args:
        kind: What is counted, in the plural, for the refusal.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, owner: str, most: int) -> Iterator[None]:
        """Have one more open meanwhile.

        Raises:
            Problem: `concurrency_limited`: the owner has `most` already.
        """
        with self._lock:
            if self._open[owner] >= most:
                raise Problem("concurrency_limited", f"At most {most} {self._kind} at once.", headers=SOON)
            self._open[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[owner] -= 1
                if not self._open[owner]:
                    del self._open[owner]
