"""A test that takes too long says where: pytest-timeout shows the threads, this the tasks of asyncio."""

import asyncio
import gc
import sys
import threading
from typing import Any

import pytest

SECONDS_BEFORE = 1.0
timers: dict[str, threading.Timer] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Beside pytest-timeout's own timer, which ends the test."""
    timer = threading.Timer(max(0.0, settings.timeout - SECONDS_BEFORE), show_tasks)
    timer.daemon = True
    timers[item.nodeid] = timer
    timer.start()


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    if timer := timers.pop(item.nodeid, None):
        timer.cancel()


def show_tasks() -> None:
    """Print the stack of every task that hasn't ended, of any loop."""
    for task in [found for found in gc.get_objects() if isinstance(found, asyncio.Task)]:
        if not task.done():
            task.print_stack(file=sys.stderr)
