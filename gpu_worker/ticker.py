"""Something done again and again beside the render, in a thread of its own."""

import logging
import threading
from collections.abc import Callable
from typing import Self

from redis.exceptions import RedisError

log = logging.getLogger(__name__)


class Ticker:
    """Calls `tick` every `seconds` between `with` and its end; the next tick makes good an absent Redis."""

    def __init__(self, seconds: float, tick: Callable[[], None], name: str) -> None:
        self._seconds = seconds
        self._tick = tick
        self._ended = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._tick()
            except RedisError as error:
                if not self._away:
                    log.warning("%s: Redis is away (%s)", self._thread.name, type(error).__name__)
                self._away = True
            else:
                self._away = False
