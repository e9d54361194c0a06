"""Counts the edit-list entries of an MP4 before FFmpeg sees it.

For each entry FFmpeg copies the index of the samples that it shows: a file of a few hundred kilobytes could
take all memory before a single frame is decoded.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_EDITS = 500
"""Of all tracks together. Cameras and editors write a few."""
PARENTS = (b"moov", b"trak", b"edts")
HEADER_BYTES, LARGE_HEADER_BYTES = 8, 16
COUNT_OFFSET = 4
"""Within the payload of `elst`: behind version and flags."""


def has_too_many_edits(source: Path) -> bool:
    """Whether the file is an MP4 or MOV with more than `MAX_EDITS` entries; anything else has none."""
    with source.open("rb") as file:
        total = 0
        for count in _edit_counts(file, 0, os.fstat(file.fileno()).st_size):
            total += count
            if total > MAX_EDITS:
                return True
    return False


def _edit_counts(file: BinaryIO, start: int, end: int) -> Iterator[int]:
    """The number of entries in each edit list between two offsets."""
    while start + HEADER_BYTES <= end:
        file.seek(start)
        header = file.read(LARGE_HEADER_BYTES)
        size, kind, payload = int.from_bytes(header[:4]), header[4:8], start + HEADER_BYTES
        if size == 1:
            size, payload = int.from_bytes(header[8:]), start + LARGE_HEADER_BYTES
        box_end = end if size == 0 else start + size
        if box_end < payload:
            return
        if kind == b"elst":
            file.seek(payload + COUNT_OFFSET)
            yield int.from_bytes(file.read(4))
        elif kind in PARENTS:
            yield from _edit_counts(file, payload, min(box_end, end))
        start = box_end
