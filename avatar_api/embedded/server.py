"""What every embedded server does: hold its data, clear leftovers, start, be ready, stop."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import IO, ClassVar, Self

from avatar_api import child_process

START_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.01


class EmbeddedServerError(Exception):
    """A server can't be started or doesn't do as it should; the text says what to do."""


class ServerInUseError(EmbeddedServerError):
    """Another process runs a server on the same data."""


class Server(ABC):
    """One server on one data directory: `prepare`, run `command`, wait for `is_ready`, stop, `release`.

    As a context manager it does all of that, with the server's output in `<data_dir>.log`; a
    supervisor takes the steps itself.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        """Name the server; nothing is started or written.

        Args:
            data_dir: where the data lie; made when absent. Logs and the lock lie beside it.
            durable: whether committed data must survive a power cut. False is for tests.
        """
        self.data_dir = data_dir.resolve()
        self.durable = durable
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    @abstractmethod
    def _leftover_pid(self) -> int | None:
        """The process that a former run noted in its data, living or not."""

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of ours but the path: no locale, no PG* variable and no secret reaches the server."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    @cached_property
    def socket_dir(self) -> Path:
        """A path short enough for a socket (104 bytes on macOS), the same at every start of this data."""
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(f"/tmp/avatar-{os.getuid()}-{digest}")  # noqa: S108  (closed to others, see prepare)

    @property
    def log_path(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    def claim(self) -> None:
        """Take the data for ourselves and stop what a crash left running on them.

        Raises:
            ServerInUseError: another living process holds the data.
        """
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._lock = hold_lock(self.data_dir.with_name(f"{self.data_dir.name}.lock"))
        self._stop_leftover()

    def prepare(self) -> None:
        """Claim the data and make what is missing.

        Raises:
            ServerInUseError: another living process holds the data.
            EmbeddedServerError: the data can't be used.
        """
        self.claim()
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        if self.socket_dir.lstat().st_uid != os.getuid():
            raise EmbeddedServerError(f"{self.socket_dir} belongs to another user: remove it")

    def release(self) -> None:
        """Give the data back, after the server has stopped."""
        shutil.rmtree(self.socket_dir, ignore_errors=True)
        if self._lock:
            self._lock.close()
            self._lock = None

    def before_exec(self) -> None:  # noqa: B027  (most servers have nothing to do here)
        """Run in the child between fork and exec."""

    def _stop_leftover(self) -> None:
        pid = self._leftover_pid()
        for number in (self.stop_signal, signal.SIGKILL):
            deadline = time.monotonic() + STOP_SECONDS
            # Every command line of ours names the socket's directory, and nobody else's does.
            while pid and str(self.socket_dir) in child_process.command_line(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)

    def __enter__(self) -> Self:
        self.prepare()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        die_with_parent = child_process.die_with_parent(self.stop_signal)

        def before_exec() -> None:
            os.setpgrp()  # Ctrl-C in the terminal is for the parent, which then stops the server
            self.before_exec()
            die_with_parent()

        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                preexec_fn=before_exec,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log_path.read_text(errors="replace")[-2000:]
                raise EmbeddedServerError(f"{self.name} didn't start; {self.log_path} ends with:\n{tail}")
            time.sleep(POLL_SECONDS)

    def __exit__(self, *exc_info: object) -> None:
        if self._process:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self.release()


def hold_lock(path: Path, *, wait: bool = False) -> IO[str]:
    """Hold `path` until the returned file is closed or this process ends, however it ends."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        raise ServerInUseError(
            f"{path.with_suffix('')} is in use by another process: stop that one first"
        ) from None
    return file


def read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def package_dir(package: str) -> Path:
    """Where a package lies, without importing it: only its programs are wanted."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(
            f"the package {package} is not installed: run `make run` once, or pip install it"
        )
    return Path(spec.submodule_search_locations[0])
