"""What happens in the process of one reading (`multiprocessing` can't find functions of `__main__`)."""

import importlib

from benchmarks.row import Row

READINGS = 5


def readings_of(name: str) -> int:
    """How many readings a benchmark wants: five, or as many as its own READINGS says."""
    readings: int = getattr(importlib.import_module(f"benchmarks.{name}"), "READINGS", READINGS)
    return readings


def read(name: str) -> list[Row]:
    """One reading of all figures of a benchmark."""
    return list(importlib.import_module(f"benchmarks.{name}").rows())
