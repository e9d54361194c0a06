"""The object store as a render sees it: files by key, checked, and patient when the store is away."""

import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage

from gpu_worker.common.disk import lacks_room
from gpu_worker.contract.spec import StoredFile
from gpu_worker.rendering.errors import DamagedFileError, NoRoomError, StorageError
from gpu_worker.storage.retry import Answer, RetryPolicy

STORE_ERRORS = (OSError, Boto3Error, BotoCoreError, ClientError)


class Store:
    """The object store, as long as nobody asks the render to stop.

    Args:
        stopping: While set, a failed try is the last one.
        failed: Called after each try that failed.
    """

    def __init__(
        self,
        storage: Storage,
        stopping: threading.Event,
        policy: RetryPolicy,
        failed: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._stopping = stopping
        self._policy = policy
        self._failed = failed

    def fetch(self, file: StoredFile, target: Path) -> Path:
        """Copy an input to disk and check that it is the one that was stored.

        Raises:
            StorageError: The store stays away, or holds something else.
            RenderStoppedError: The render was asked to stop while the store was away.
        """

        def attempt() -> None:
            self._copy(file.key, target)
            if target.stat().st_size != file.size_bytes or _sha256(target) != file.sha256:
                raise DamagedFileError("size or digest differ")

        self._patiently("fetch", attempt)
        return target

    def download(self, key: str, target: Path) -> Path:
        """Copy a file that a worker saved; raises as `fetch`."""
        self._patiently("download", lambda: self._copy(key, target))
        return target

    def read(self, key: str) -> bytes:
        """A small file that a worker saved; raises as `fetch`."""

        def attempt() -> bytes:
            with self._storage.open(key) as source:
                return source.read()

        return self._patiently("read", attempt)

    def save(self, key: str, content: bytes | Path) -> None:
        """Store a file under exactly this key, over an earlier try's; raises as `fetch`."""

        def attempt() -> None:
            with _opened(content) as source:
                self._storage.save(key, File(source))

        self._patiently("save", attempt)

    def _copy(self, key: str, target: Path) -> None:
        with self._storage.open(key) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)

    def _patiently(self, what: str, attempt: Callable[[], Answer]) -> Answer:
        try:
            return self._policy.insist(attempt, may_pass=self._may_pass, stopping=self._stopping, what=what)
        except FileNotFoundError as error:
            raise StorageError(f"{what}: the object store does not hold the file") from error
        except STORE_ERRORS as error:
            if lacks_room(error):
                raise NoRoomError(what) from error
            raise StorageError(f"{what}: the object store stays away") from error

    def _may_pass(self, error: Exception) -> bool:
        if isinstance(error, FileNotFoundError) or not isinstance(error, STORE_ERRORS):
            return False
        self._failed()
        return True


def _opened(content: bytes | Path) -> IO[bytes]:
    return content.open("rb") if isinstance(content, Path) else ContentFile(content).file


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
