"""Programs that are kept running: what ends is started again, as by any supervisor, and all is logged."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

from avatar_api import child_process
from launcher.supervisor import Program
from launcher.terminal import Failure

READY_SECONDS = 300.0
POLL_SECONDS = 0.05
# What dies at once is not started again at once.
PAUSE_SECONDS = 0.5


class Process:
    """One program, and the process that it has at the moment. Started by one thread only.

    Attributes:
        wanted: Whether it is started again when it ends.
        starts: How often it was started.
        own_ends: How often it ended without being told to.
    """

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.wanted = True
        self.starts = 0
        self.own_ends = 0
        self._log = log
        self._told_to_end = False
        self._ended_at: float | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        die_with_parent = child_process.die_with_parent(signal.SIGKILL)

        def before_exec() -> None:
            os.setpgrp()
            self.program.before_exec()
            die_with_parent()

        self._process = subprocess.Popen(
            self.program.command,
            env=self.program.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=before_exec,
        )
        self.starts += 1
        self._told_to_end = False
        self._ended_at = None
        # Through a pipe: a limit to the size of files that is set on the process must not meet its log.
        assert self._process.stdout
        threading.Thread(target=self._copy, args=[self._process.stdout], daemon=True).start()

    def until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.program.is_ready():
            if not self.runs:
                raise Failure(f"{self.program.name} ended while it started; see {self._log}.")
            if time.monotonic() > deadline:
                raise Failure(
                    f"{self.program.name} isn't ready after {READY_SECONDS:.0f} s; see {self._log}."
                )
            time.sleep(POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program, and to all that it has started where it would survive it."""
        assert self._process is not None
        self._told_to_end = self._told_to_end or number not in (signal.SIGSTOP, signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            if number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL):
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    def end(self, number: signal.Signals, seconds: float) -> None:
        """Tell the program to end, and wait; what remains after `seconds` is killed."""
        if self._process is None:
            return
        self.send(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._kill_group()
        self._process.wait()

    def keep(self) -> None:
        """Start the program again if it has ended and is wanted; whoever calls this does so all the time."""
        if not self.wanted or self.runs:
            return
        if self._ended_at is None:
            self._ended_at = time.monotonic()
            self.own_ends += not self._told_to_end
            self._kill_group()  # As a container goes with its first process.
        elif time.monotonic() - self._ended_at >= PAUSE_SECONDS:
            self.start()

    def _kill_group(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _copy(self, output: IO[bytes]) -> None:
        with self._log.open("ab", buffering=0) as log, output:
            for line in output:
                log.write(line)
