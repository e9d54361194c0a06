"""Reads the boxes of an MP4 without FFmpeg, so that tests don't ask the writer whether it wrote well."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    kind: str
    offset: int
    payload: bytes


def boxes(data: bytes) -> list[Box]:
    """The top-level boxes; for those inside another one, hand in its payload."""
    found, offset = [], 0
    while offset < len(data):
        size = int.from_bytes(data[offset : offset + 4])
        kind = data[offset + 4 : offset + 8].decode("latin-1")
        found.append(Box(kind, offset, data[offset + 8 : offset + size]))
        offset += size
    return found


def child(data: bytes, *path: str) -> bytes:
    """The payload of the first box that `path` leads to."""
    for kind in path:
        data = next(box.payload for box in boxes(data) if box.kind == kind)
    return data
