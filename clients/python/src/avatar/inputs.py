"""Pictures and sounds as people have them: paths, bytes, open files and URLs."""

from __future__ import annotations

import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from avatar.errors import AvatarError

MediaInput = str | os.PathLike[str] | bytes | IO[bytes]
"""A URL (https: or data:), a path, the bytes themselves, or a file that is open for reading bytes."""

LARGE_BYTES = 5_000_000
"""From here on a file goes to the store by itself instead of inside the request."""


@dataclass(frozen=True)
class Media:
    """A file to send, or the address of one.

    Attributes:
        url: Where the server finds it; empty for a file.
        content: The bytes, or the path they are read from.
    """

    name: str
    url: str = ""
    content: bytes | Path = b""

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @property
    def content_type(self) -> str:
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    def read(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def media(given: MediaInput, name: str) -> Media:
    """What was given, under the name of its field where it has none of its own.

    Raises:
        AvatarError: There is no such file.
    """
    if isinstance(given, bytes):
        return Media(name, content=given)
    if isinstance(given, str) and given.startswith(("https://", "http://", "data:")):
        return Media(name, url=given)
    if isinstance(given, (str, os.PathLike)):
        path = Path(given).expanduser()
        if not path.is_file():
            raise AvatarError(f"There is no file {path}.")
        return Media(path.name, content=path)
    path_of_file: Any = getattr(given, "name", None)
    return Media(Path(str(path_of_file)).name if path_of_file else name, content=given.read())
