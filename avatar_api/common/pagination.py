"""Cursor pages over ids that sort by time: flat from a thousand rows to a million."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

from avatar_api.common.problems import FieldError, invalid

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page, newest first.

    Attributes:
        rows: The objects of this page.
        next_cursor: What to ask for next, or None at the end.
    """

    rows: list[M]
    next_cursor: str | None


def page_of(queryset: QuerySet[M], params: Mapping[str, str], id_pattern: str) -> Page[M]:
    """The page that `limit` and `cursor` ask for, ordered by id, newest first.

    Raises:
        Problem: `validation_error` when limit or cursor can't be read.
    """
    limit, after = read_limit(params), read_cursor(params, id_pattern)
    rows = queryset.order_by("-pk")
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found = list(rows[: limit + 1])
    more = len(found) > limit
    return Page(found[:limit], encode(str(found[limit - 1].pk)) if more else None)


def read_limit(params: Mapping[str, str]) -> int:
    value = params.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[1-9][0-9]{0,2}", value) or int(value) > MAX_LIMIT:
        raise invalid(FieldError("limit", "invalid", f"Must be an integer from 1 to {MAX_LIMIT}."))
    return int(value)


def read_cursor(params: Mapping[str, str], id_pattern: str) -> str | None:
    if "cursor" not in params:
        return None
    try:
        value = base64.urlsafe_b64decode(params["cursor"]).decode("ascii")
    except (binascii.Error, ValueError):
        value = ""
    if not re.fullmatch(id_pattern, value):
        raise invalid(FieldError("cursor", "invalid", "Must be the next_cursor of the previous page."))
    return value


def encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()
