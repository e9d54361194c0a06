"""Data from another process as a checked value: whoever wrote it, it has the declared types or it is refused.

What is written by a release next to ours may have fields that this one doesn't know: they are left out, and
a field with a default may be missing. Anything else that doesn't fit is an `UnreadableError`, never another
exception: readers drop the value and call `dropped`, which logs it and tells who counts.
"""

import json
import logging
import math
import types
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

log = logging.getLogger(__name__)

Value = TypeVar("Value")

MAX_BYTES = 1_000_000
MAX_INTEGER = 2**63 - 1
"""What a column of the database can hold."""

on_dropped: list[Callable[[str], None]] = []
"""Called with the kind of each value that was dropped."""


class UnreadableError(ValueError):
    """A value from another process isn't what was agreed on."""


def dropped(kind: str, error: Exception) -> None:
    """Log and count a value that is left out; of its content nothing is told."""
    log.warning("%s that can't be read was dropped: %s", kind, error)
    for count in on_dropped:
        count(kind)


def parse(content: bytes | str) -> Any:
    """Read JSON.

    Raises:
        UnreadableError: It isn't JSON, or there is too much of it.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableError(f"{len(content)} bytes, where {MAX_BYTES} are the most")
    try:
        return json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("no JSON") from error


def _refuse(constant: str) -> None:
    """NaN and infinities are none of JSON's, and no column takes them."""
    raise ValueError(constant)


def read(cls: type[Value], data: object) -> Value:
    """Read a dataclass from a dict, by the types of its fields.

    Raises:
        UnreadableError: A field is missing or of another type.
    """
    assert is_dataclass(cls)
    if not isinstance(data, dict):
        raise UnreadableError(f"{type(data).__name__} instead of an object")
    hints = _hints(cls)
    values = {}
    for field in fields(cls):
        if field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name], field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UnreadableError(f"{field.name} is missing")
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:  # What `__post_init__` refuses.
        raise UnreadableError(str(error)) from error


def text(value: object) -> str:
    """Read bytes from Redis as text.

    Raises:
        UnreadableError: They are no UTF-8.
    """
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode()  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise UnreadableError("no text") from error


def number(value: object) -> float:
    """Read a finite number from text or bytes.

    Raises:
        UnreadableError: It is none.
    """
    try:
        found = float(text(value))
    except ValueError as error:
        raise UnreadableError("no number") from error
    if not math.isfinite(found):
        raise UnreadableError("no finite number")
    return found


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _value(expected: Any, value: object, name: str) -> Any:
    origin = get_origin(expected)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(expected), value, name)
    if origin is tuple:
        return _items(get_args(expected), value, name)
    if is_dataclass(expected):
        return read(expected, value)  # type: ignore[arg-type]
    if isinstance(expected, type) and issubclass(expected, StrEnum):
        return _member(expected, value, name)
    if _is_a(origin or expected, value):
        return float(value) if expected is float else value  # type: ignore[arg-type]
    raise UnreadableError(f"{name} is of the wrong type")


def _one_of(expected: tuple[Any, ...], value: object, name: str) -> Any:
    if value is None and types.NoneType in expected:
        return None
    for each in expected:
        if each is types.NoneType:
            continue
        try:
            return _value(each, value, name)
        except UnreadableError:
            if each is expected[-1] or len(expected) == 2:
                raise
    raise UnreadableError(f"{name} is of the wrong type")


def _items(expected: tuple[Any, ...], value: object, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UnreadableError(f"{name} is no list")
    if expected[1:] == (Ellipsis,):
        return tuple(_value(expected[0], item, name) for item in value)
    if len(value) != len(expected):
        raise UnreadableError(f"{name} has {len(value)} items instead of {len(expected)}")
    return tuple(_value(each, item, name) for each, item in zip(expected, value, strict=True))


def _member(expected: type[StrEnum], value: object, name: str) -> StrEnum:
    if not isinstance(value, str):
        raise UnreadableError(f"{name} is of the wrong type")
    try:
        return expected(value)
    except ValueError as error:
        raise UnreadableError(f"{name} has an unknown value") from error


def _is_a(expected: Any, value: object) -> bool:
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_moderate(value)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER
    if expected is str:
        # Postgres takes neither; a lone surrogate can't even be written.
        return isinstance(value, str) and "\x00" not in value and _is_utf8(value)
    return isinstance(value, expected)


def _is_moderate(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
