"""Run several programs as one: started in order, watched together, stopped in reverse order.

Each program has a process group of its own, so that Ctrl-C reaches only the supervisor, which then
stops them; and each is told by the kernel when the supervisor is killed (on Linux). What survives
even that is noted in a file and stopped by the next start.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avatar_api import child_process
from launcher.terminal import Failure

READY_SECONDS = 60.0
POLL_SECONDS = 0.03

# Receives each line that a program writes, with the program's name.
Sink = Callable[[str, str], None]


@dataclass(frozen=True)
class Program:
    """What to run. It is ready when `is_ready` says so; without one, as soon as it runs."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool] = lambda: True
    before_exec: child_process.BeforeExec = lambda: None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0


class _Running:
    def __init__(self, program: Program, process: asyncio.subprocess.Process) -> None:
        self.program = program
        self.process = process
        self.last_lines: deque[str] = deque(maxlen=15)
        self.reader: asyncio.Task[None] | None = None

    @property
    def has_ended(self) -> bool:
        # Not by waiting for it: up to Python 3.12 that also waits for whoever else holds its output.
        return self.process.returncode is not None


class Supervisor:
    """Use as `async with`: leaving it stops every program, however it is left."""

    def __init__(self, sink: Sink, journal: Path) -> None:
        """Args: sink takes the programs' output; journal notes their process ids for the next start."""
        self._sink = sink
        self._journal = journal
        self._running: list[_Running] = []

    async def __aenter__(self) -> "Supervisor":
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # A second Ctrl-C cancels the polite stop; then everything is killed at once.
        try:
            for running in reversed(self._running):
                await _stop(running)
        finally:
            for running in self._running:
                _kill_group(running.process.pid)
            self._journal.unlink(missing_ok=True)

    async def start(self, *programs: Program) -> None:
        """Start programs side by side and wait until all are ready.

        Raises:
            Failure: one ended, or isn't ready in time.
        """
        started = [await self._spawn(program) for program in programs]
        await asyncio.gather(*(self._until_ready(running) for running in started))

    async def first_end(self) -> str:
        """Wait until any program ends, which none should; says which and how."""
        while not (ended := [running for running in self._running if running.has_ended]):
            await asyncio.sleep(POLL_SECONDS)
        return _obituary(ended[0])

    async def _spawn(self, program: Program) -> _Running:
        die_with_parent = child_process.die_with_parent(program.stop_signal)

        def before_exec() -> None:
            os.setpgrp()
            program.before_exec()
            die_with_parent()

        process = await asyncio.create_subprocess_exec(
            *program.command,
            env=program.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=before_exec,
        )
        running = _Running(program, process)
        running.reader = asyncio.create_task(self._read(running))
        self._running.append(running)
        with self._journal.open("a") as journal:
            journal.write(f"{process.pid}\n")
        return running

    async def _read(self, running: _Running) -> None:
        assert running.process.stdout
        async for raw in running.process.stdout:
            line = raw.decode(errors="replace").rstrip()
            running.last_lines.append(line)
            self._sink(running.program.name, line)

    async def _until_ready(self, running: _Running) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not running.program.is_ready():
            if running.has_ended:
                raise Failure(_obituary(running))
            if time.monotonic() > deadline:
                raise Failure(f"{running.program.name} isn't ready after {READY_SECONDS:.0f} s.")
            await asyncio.sleep(POLL_SECONDS)


def _obituary(running: _Running) -> str:
    last = "\n    ".join(running.last_lines)
    return (
        f"    {last}\n{running.program.name} ended with status {running.process.returncode}, "
        "saying the above: mend that and start again."
    )


async def _stop(running: _Running) -> None:
    with contextlib.suppress(ProcessLookupError):
        running.process.send_signal(running.program.stop_signal)
    deadline = time.monotonic() + running.program.stop_seconds
    while not running.has_ended and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
    _kill_group(running.process.pid)
    if running.reader:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running.reader, 1)


def _kill_group(process_group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process_group, signal.SIGKILL)


def stop_leftovers(journal: Path, marker: str) -> None:
    """Kill what a supervisor that was itself killed has left.

    Args:
        journal: where it noted its programs, each of which led a process group.
        marker: part of the command line of every process that may be killed. A number alone proves
            nothing, since the system gives it to others in time.
    """
    if not journal.exists():
        return
    noted = {int(line) for line in journal.read_text().split()}
    for pid in child_process.group_members(noted):
        if marker in child_process.command_line(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    journal.unlink()


def until_signaled(work: Awaitable[int]) -> int:
    """Run `work` to its end, or until Ctrl-C, a closed terminal or a polite kill cancels it.

    Returns:
        The result of `work`, or 130 when it was told to stop.
    """

    async def run() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return 130

    return asyncio.run(run())
