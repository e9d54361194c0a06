"""Tells the pointers that Git leaves in place of large files when they were not downloaded."""

from pathlib import Path

_HEADER = b"version https://git-lfs.github.com/spec/"


def is_pointer(path: Path) -> bool:
    """Whether a file is a Git LFS pointer."""
    with path.open("rb") as file:
        return file.read(len(_HEADER)) == _HEADER
