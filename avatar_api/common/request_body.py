"""A request body that ends early is an error, and not a shorter body."""

from collections.abc import Callable
from typing import BinaryIO


class BodyCutError(OSError):
    """The client hung up before it had sent all that it announced."""


class WholeBody:
    """The body of a request. Where servers show an early end as an end, Django would take half a file.

    Raises:
        BodyCutError: From any reading that meets the end before `length` bytes.
    """

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int = -1) -> bytes:
        return self._counted(self._stream.read, size)

    def readline(self, size: int = -1) -> bytes:
        return self._counted(self._stream.readline, size)

    def _counted(self, read: Callable[[int], bytes], size: int) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = read(wanted) if wanted else b""
        if wanted and not chunk:
            raise BodyCutError("the client hung up")
        self._left -= len(chunk)
        return chunk
