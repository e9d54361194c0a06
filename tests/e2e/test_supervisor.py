"""Several programs as one: whatever happens to the supervisor, nothing is left behind."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from avatar_api import child_process
from launcher.supervisor import Supervisor, stop_leftovers
from launcher.terminal import Failure
from tests.e2e.supervised import command, program

SECONDS = 120
"""Beyond what a process takes to end on a busy machine."""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A supervisor in a process of its own."""
    with subprocess.Popen(
        command("supervisor", str(tmp_path / "journal")), stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def read_pids(owner: "subprocess.Popen[str]") -> list[int]:
    """The parent's, its child's and the deaf one's."""
    assert owner.stdout
    return [int(owner.stdout.readline()) for _ in range(3)]


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + SECONDS
    while child_process.command_line(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_stop_stops_everything_children_and_the_deaf_included(
    owner: "subprocess.Popen[str]", number: signal.Signals
):
    pids = read_pids(owner)
    owner.send_signal(number)
    assert owner.wait(SECONDS) == 130
    for pid in pids:
        wait_until_gone(pid)


def test_what_outlives_a_killed_supervisor_is_stopped_by_the_next_start(
    owner: "subprocess.Popen[str]", tmp_path: Path
):
    pids = read_pids(owner)
    owner.kill()
    owner.wait()
    stop_leftovers(tmp_path / "journal", marker="tests.e2e.supervised")
    for pid in pids:
        wait_until_gone(pid)
    assert not (tmp_path / "journal").exists()


def test_a_stranger_with_a_noted_number_is_left_alone(tmp_path: Path):
    with subprocess.Popen(command("tell_and_sleep"), stdout=subprocess.DEVNULL, process_group=0) as stranger:
        (tmp_path / "journal").write_text(f"{stranger.pid}\n")
        stop_leftovers(tmp_path / "journal", marker="/nobody/has/this/in/its/command/line")
        assert stranger.poll() is None
        stranger.kill()


def test_programs_stop_in_reverse_order(tmp_path: Path):
    lines: list[tuple[str, str]] = []

    async def work() -> None:
        async with Supervisor(lambda *line: lines.append(line), tmp_path / "journal") as running:
            for number, name in enumerate(["first", "second"], start=1):
                await running.start(
                    program("says_goodbye", name=name, is_ready=lambda started=number: len(lines) == started)
                )

    asyncio.run(work())
    assert lines == [
        ("first", "started"),
        ("second", "started"),
        ("second", "stopping"),
        ("first", "stopping"),
    ]


def test_a_program_that_never_becomes_ready_is_told_with_its_last_words(tmp_path: Path):
    async def work() -> None:
        async with Supervisor(lambda *_: None, tmp_path / "journal") as running:
            await running.start(program("frail", is_ready=lambda: False))

    with pytest.raises(Failure, match="no database\nfrail ended with status 1"):
        asyncio.run(work())


def test_the_first_program_to_end_is_named(tmp_path: Path):
    async def work() -> str:
        async with Supervisor(lambda *_: None, tmp_path / "journal") as running:
            await running.start(program("tell_and_sleep"), program("frail"))
            return await running.first_end()

    assert "frail ended with status 1" in asyncio.run(work())
