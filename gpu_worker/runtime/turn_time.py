"""The time that a turn of a worker on demand has: the steps that it begins end before its last moment."""

import time
from collections.abc import Callable


class TurnTime:
    """Permits steps for as long as they fit.

    The first one is always permitted, so that every turn advances its job.

    Args:
        seconds: So long from now the last step may take to its end.
        clock: Tells the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._begun = 0

    def permits(self, step_seconds: float) -> bool:
        """Whether a step that takes so long may begin now."""
        self._begun += 1
        return self._begun == 1 or self._clock() + step_seconds <= self._end
