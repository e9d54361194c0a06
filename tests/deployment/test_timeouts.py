"""A test that hangs ends by itself, and shows the stacks of its threads and tasks."""

from pathlib import Path

import pytest

HANGING = """
import asyncio, threading, time

def test_a_task_hangs():
    async def waits_for_ever():
        await asyncio.Event().wait()

    def sleeps_for_ever():
        time.sleep(60)

    threading.Thread(target=sleeps_for_ever, daemon=True).start()
    asyncio.run(waits_for_ever())
"""


def test_it_is_ended_and_tells_where_it_was(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(HANGING)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    done = pytester.runpytest_subprocess("-p", "tests.timeouts", "-p", "no:django", "--timeout", "2")
    assert done.ret == 1
    shown = done.stdout.str() + done.stderr.str()
    assert "Timeout" in shown
    assert "sleeps_for_ever" in shown
    assert "waits_for_ever" in shown
