"""Serve a stored file, whole or the one range of bytes that a player asks for (RFC 9110, section 14)."""

import re
import sys
from collections.abc import Iterator

from django.core.files.base import File
from django.http import HttpResponseBase, StreamingHttpResponse

CHUNK = 256 * 1024
MAX_DIGITS = 18


def file_response(file: File, content_type: str, range_header: str | None) -> HttpResponseBase:
    """The answer to a GET: 200 with all of it, 206 with one range, or 416 beyond its end.

    Several ranges at once are answered with the whole file, as the RFC allows.
    """
    size = file.size
    span = read_range(range_header, size)
    if span is None:
        file.close()
        return StreamingHttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    first, last = span
    response = StreamingHttpResponse(_Part(file, first, last), content_type=content_type)
    response["Accept-Ranges"] = "bytes"
    response["Content-Length"] = str(last - first + 1)
    if (first, last) != (0, size - 1):
        response.status_code = 206
        response["Content-Range"] = f"bytes {first}-{last}/{size}"
    return response


def read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte to send; None when the range lies beyond the file's end."""
    match = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", header or "")
    if match is None or match.group(1) == match.group(2) == "":
        return 0, size - 1
    first, last = (None if digits == "" else number(digits) for digits in match.groups())
    if first is None:
        assert last is not None
        return (max(0, size - last), size - 1) if last > 0 else None
    end = size - 1 if last is None else min(last, size - 1)
    return (first, end) if first <= end else None


def number(digits: str) -> int:
    """A position in a file; however many digits there are, beyond the end is beyond the end."""
    return int(digits) if len(digits) <= MAX_DIGITS else sys.maxsize


class _Part:
    """Bytes `first` to `last` of a file, which is closed with the response, read or not."""

    def __init__(self, file: File, first: int, last: int) -> None:
        self.close = file.close
        self._file = file
        self._first = first
        self._left = last - first + 1

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self._first)
        while self._left > 0 and (chunk := self._file.read(min(CHUNK, self._left))):
            self._left -= len(chunk)
            yield chunk
