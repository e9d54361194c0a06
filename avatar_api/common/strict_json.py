"""JSON bodies as RFC 8259 means them: small enough, each name once, and nothing that only Python writes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from avatar_api.common.problems import FieldError, Problem, invalid

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_VALUES = 50_000
"""Small values take many times the memory of their text, so a body that may be long may not hold many."""


class StrictJSONParser(BaseParser):
    """The parser of the whole API.

    A view that takes more than a megabyte says so in its attribute `max_json_bytes`.
    """

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Raises: ParseError, or a Problem: `payload_too_large`, or `validation_error` for a name twice."""
        view = (parser_context or {}).get("view")
        allowed = getattr(view, "max_json_bytes", MAX_BYTES)
        text = stream.read(allowed + 1)
        if len(text) > allowed:
            raise Problem("payload_too_large", f"The JSON body may have at most {allowed} bytes.")
        try:
            return loads(text)
        except (ValueError, RecursionError) as error:
            # The text of the error may quote the body.
            raise ParseError("The request body is not valid UTF-8 JSON.") from error


def loads(text: bytes | str) -> Any:
    """The value that `text` stands for.

    Raises:
        ValueError: It isn't JSON, is nested too deeply, or holds half of a surrogate pair, which no text in
            UTF-8 can.
        RecursionError: It is nested much too deeply.
        Problem: `payload_too_large` for too many values, `validation_error` naming what came twice.
    """
    if isinstance(text, bytes):
        text = text.decode()
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise Problem("payload_too_large", f"The JSON body may contain at most {MAX_VALUES} values.")
    value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    _refuse_depth(value)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse_depth(value: Any) -> None:
    layer = [value]
    for _ in range(MAX_DEPTH):
        layer = [child for parent in layer for child in _children(parent)]
        if not layer:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise invalid(
            *(
                FieldError(_printable(name), "duplicate", "This field occurs more than once.")
                for name in twice
            )
        )
    return found


def _printable(name: str) -> str:
    return name.encode(errors="replace").decode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def object_of(request: Request) -> dict[str, Any]:
    """The body of a request that should be a JSON object.

    Raises:
        Problem: `parse_error` for no body at all, `validation_error` for another kind of value.
    """
    if request.stream is None:
        raise Problem("parse_error", "The request body must be JSON.")
    if not isinstance(request.data, dict):
        raise invalid(FieldError("", "invalid", "The request body must be a JSON object."))
    return request.data
