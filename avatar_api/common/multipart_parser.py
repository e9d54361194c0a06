"""Multipart forms, of which Django takes any bytes: what holds no part isn't one."""

from collections.abc import Mapping
from typing import IO, Any

from django.utils.http import parse_header_parameters
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser

HEAD_BYTES = 256


class Recorded:
    """A stream whose first bytes are kept."""

    def __init__(self, stream: IO[Any]) -> None:
        self.head = b""
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        found: bytes = self._stream.read(size)
        self.head += found[: HEAD_BYTES - len(self.head)]
        return found


class StrictMultiPartParser(MultiPartParser):
    """Refuses a body in which no part can be found, unless it says that there are none."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Raises: ParseError."""
        recorded = Recorded(stream)
        parsed = super().parse(recorded, media_type, parser_context)  # type: ignore[arg-type]  # It is only read.
        boundary = parse_header_parameters(media_type or "")[1].get("boundary", "")
        without_parts = not parsed.data and not parsed.files
        if without_parts and not recorded.head.lstrip().startswith(f"--{boundary}--".encode()):
            raise ParseError("The body isn't a multipart form.")
        return parsed
