"""Something done again and again beside the render, in a thread of its own."""

import logging
import threading
from collections.abc import Callable
from typing import Self

from redis.exceptions import RedisError

log = logging.getLogger(__name__)


class PeriodicThread:
    """Calls `tick` every `seconds` between `with` and its end; the next tick makes good an absent Redis.

    It belongs to the thread that enters and leaves it; `hurry` may be called from any.
    """

    def __init__(self, seconds: float, tick: Callable[[], None], name: str) -> None:
        self._seconds = seconds
        self._tick = tick
        self._due = threading.Event()
        self._ended = False
        self._away = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended = True
        self.hurry()
        self._thread.join()

    def hurry(self) -> None:
        """Let the next tick come at once."""
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait(self._seconds)
            self._due.clear()
            if self._ended:
                return
            try:
                self._tick()
            except RedisError as error:
                if not self._away:
                    log.warning("%s: Redis is away (%s)", self._thread.name, type(error).__name__)
                self._away = True
            else:
                self._away = False
