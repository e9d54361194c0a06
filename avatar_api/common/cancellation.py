"""Ending tasks for certain."""

import asyncio
from typing import Any

REPEAT_SECONDS = 0.05


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end.

    A library may take a cancellation for its own, as redis-py does while it connects; so it is repeated until
    the task has ended.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=REPEAT_SECONDS)
