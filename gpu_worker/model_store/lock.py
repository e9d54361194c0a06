"""Only one process prepares a folder, also on a network volume where file locks hold nobody back."""

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Self
from uuid import uuid4

from gpu_worker.model_store.errors import BusyError


class StorageLock:
    """A lock file that its holder touches again and again; one that nobody touches is taken over.

    Whoever finds it looks for a while whether it is still touched. No two machines' clocks are
    compared, and a holder that was killed holds nobody up for longer than the lease.
    """

    beat_seconds = 5.0
    lease_seconds = 30.0

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".storage_lock"
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="storage lock", daemon=True)

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            BusyError: A living process holds it.
        """
        while not self._create():
            self._wait_for_lease_to_end()
            with contextlib.suppress(FileNotFoundError):
                self._path.rename(self._path.with_name(f".storage_lock.{uuid4().hex}"))
        for taken_over in self._path.parent.glob(".storage_lock.*"):
            taken_over.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._released.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _create(self) -> bool:
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def _wait_for_lease_to_end(self) -> None:
        last_touch = self._last_touch()
        deadline = time.monotonic() + self.lease_seconds
        while time.monotonic() < deadline:
            time.sleep(self.beat_seconds / 5)
            touch = self._last_touch()
            if touch is None:
                return
            if touch != last_touch:
                raise BusyError(f"another process is preparing the models in {self._path.parent}")

    def _last_touch(self) -> int | None:
        try:
            return self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _keep(self) -> None:
        while not self._released.wait(self.beat_seconds):
            os.utime(self._path)
