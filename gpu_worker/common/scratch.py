"""Folders for what a process has in work: gone when it ends, and cleared after a crash."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Scratch:
    """The scratch folder of this process, below one that all processes of its kind and user share.

    A process holds a lock on its folder for as long as it lives, so whoever finds a folder
    unlocked knows that its owner is dead, whatever its process id.

    Args:
        kind: Of process, in the shared folder's name.
        root: The shared folder, instead of one among the system's temporary files.

    Attributes:
        path: The folder of this process.
    """

    def __init__(self, kind: str, root: Path | None = None) -> None:
        self._root = root or Path(tempfile.gettempdir()) / f"avatar-{kind}-{os.getuid()}"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._root.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._root} belongs to another user")
        gate = _open_locked(self._root)  # One at a time: a folder just made is not locked yet.
        try:
            self._clear_leftovers()
            self.path = Path(tempfile.mkdtemp(dir=self._root))
            self._lock = _open_locked(self.path)
        finally:
            os.close(gate)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """An empty folder that is removed at the end, whatever happens."""
        path = self.path / name
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def close(self) -> None:
        shutil.rmtree(self.path)
        os.close(self._lock)

    def _clear_leftovers(self) -> None:
        for folder in self._root.iterdir():
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # Its owner is alive.
            else:
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _open_locked(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor
