"""A check of another server that may hang: bounded in time, one at a time, its outcome kept a moment."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import close_old_connections

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        value: What it gave, where it was `ok`.
    """

    ok: bool
    seconds: float
    value: object = None


class BackgroundCheck:
    """Runs `check` in a thread of its own, for which a caller waits no longer than `timeout` seconds.

    However many call, one thread checks: while that hangs, all of them are told that it failed.

    Args:
        name: For the log.
        check: Raises whatever it likes when something is wrong.
        timeout: How long a caller waits, in seconds.
        kept: How long an outcome is told again without asking, in seconds.
    """

    def __init__(
        self, name: str, check: Callable[[], object], timeout: float = 1.0, kept: float = 2.0
    ) -> None:
        self.name = name
        self._check = check
        self._timeout = timeout
        self._kept = kept
        self._lock = threading.Lock()
        self._done: threading.Event | None = None
        self._began = 0.0
        self._outcome = Outcome(ok=False, seconds=0.0)

    def start(self) -> None:
        """Begin a check unless one is under way or the last outcome is still fresh."""
        with self._lock:
            if self._done is None or (self._done.is_set() and time.monotonic() - self._began > self._kept):
                self._done, self._began = threading.Event(), time.monotonic()
                threading.Thread(target=self._run, args=(self._done,), name=self.name, daemon=True).start()

    def outcome(self) -> Outcome:
        """What came of the check that was started last; a failure when that isn't known in time."""
        done = self._done
        assert done is not None
        left = self._began + self._timeout - time.monotonic()
        if done.wait(max(0.0, left)):
            return self._outcome
        return Outcome(ok=False, seconds=time.monotonic() - self._began)

    def _run(self, done: threading.Event) -> None:
        begin, ok, value = time.monotonic(), True, None
        try:
            value = self._check()
        except Exception:
            # Whatever is wrong with a part, the answer is that it is down; the log says why.
            log.exception("%s is down", self.name)
            ok = False
        finally:
            close_old_connections()
        self._outcome = Outcome(ok, time.monotonic() - begin, value)
        done.set()
