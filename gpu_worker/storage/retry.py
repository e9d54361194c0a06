"""Waiting for what a render needs and doesn't have at the moment: the store, or room on the disk."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gpu_worker.common.disk import lacks_room
from gpu_worker.engines.base import RenderStoppedError
from gpu_worker.rendering.errors import NoRoomError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RetryPolicy:
    """How often something is tried that may be away, with growing pauses in between: for about three minutes.

    Tries are counted and not seconds: a worker that is starved of its processor has tried no more for that.
    """

    tries: int = 22
    first_pause: float = 0.5
    longest_pause: float = 10

    def insist(
        self,
        attempt: Callable[[], Answer],
        *,
        may_pass: Callable[[Exception], bool],
        stopping: threading.Event,
        what: str,
    ) -> Answer:
        """Repeat `attempt` as long as what prevents it may pass.

        Raises:
            RenderStoppedError: The render was asked to stop meanwhile.
            Exception: Whatever the last try raised.
        """
        pause = self.first_pause
        for tries_left in reversed(range(self.tries)):
            try:
                return attempt()
            except Exception as error:
                if not may_pass(error) or not tries_left:
                    raise
                log.warning("%s failed (%s), again in %.1f s", what, type(error).__name__, pause)
                if stopping.wait(pause):
                    raise RenderStoppedError from error
            pause = min(2 * pause, self.longest_pause)
        raise AssertionError("there is always a first try")


@dataclass(frozen=True)
class Disk:
    """The worker's disk, as long as nobody asks the render to stop."""

    stopping: threading.Event
    retry_policy: RetryPolicy

    def write(self, what: str, work: Callable[[], Answer]) -> Answer:
        """Do what writes files, again and again while there is no room for them.

        Raises:
            NoRoomError: There is none to the end.
            RenderStoppedError: The render was asked to stop meanwhile.
        """
        try:
            return self.retry_policy.insist(work, may_pass=lacks_room, stopping=self.stopping, what=what)
        except OSError as error:
            if lacks_room(error):
                raise NoRoomError(what) from error
            raise
