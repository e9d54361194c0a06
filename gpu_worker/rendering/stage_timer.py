"""How long each stage of a render took, for its receipt."""

import time


class Stages:
    """A stopwatch that runs for one stage at a time."""

    def __init__(self, first: str) -> None:
        self._seconds: dict[str, float] = {}
        self._stage = first
        self._since = self._began = time.monotonic()

    def enter(self, stage: str) -> None:
        now = time.monotonic()
        self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now

    @property
    def total_seconds(self) -> float:
        return time.monotonic() - self._began

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far, in the order in which they were first entered."""
        self.enter(self._stage)
        return {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}
