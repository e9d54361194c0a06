"""Cursor pages over objects in the order of their creation: flat from a thousand rows to a million.

A cursor names the last object of its page by time and id. Those of the release before name the id alone.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

from avatar_api.common.faults import Faults
from avatar_api.common.problems import FieldError, invalid
from avatar_api.common.times import TimeError, read_time

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


@dataclass(frozen=True)
class Position:
    """A place in a list: that of the object which was created then and has this id."""

    created_at: datetime
    id: str

    @classmethod
    def of(cls, row: Any) -> "Position":
        return cls(row.created_at, row.pk)

    def encode(self) -> str:
        return base64.urlsafe_b64encode(f"{self.created_at.isoformat()} {self.id}".encode()).decode()


def page_of(
    queryset: QuerySet[M],
    params: Mapping[str, str],
    id_pattern: str,
    fetch: Callable[[QuerySet[M]], list[M]] = list,
) -> Page[M]:
    """The page that `limit` and `cursor` ask for, newest first by `created_at`, then by id.

    Args:
        queryset: The whole list.
        params: Of the request.
        id_pattern: What ids look like.
        fetch: Reads the page.

    Raises:
        Problem: `validation_error` when limit or cursor can't be read.
    """
    faults = Faults()
    with faults.gathered():
        limit = read_limit(params)
    with faults.gathered():
        after = read_cursor(queryset, params, id_pattern)
    faults.refuse()
    rows = queryset.order_by("-created_at", "-pk")
    if after is not None:
        # Said so that an index by time finds the place; few objects, if any, share one time.
        rows = rows.filter(created_at__lte=after.created_at)
        rows = rows.exclude(created_at=after.created_at, pk__gte=after.id)
    return _page(fetch(rows[: limit + 1]), limit)


def first_page(params: Mapping[str, str], fetch: Callable[[int], list[M]]) -> Page[M]:
    """The first page of a list whose newest objects `fetch` reads, so many as it is given.

    Raises:
        Problem: `validation_error` when limit can't be read.
    """
    limit = read_limit(params)
    return _page(fetch(limit + 1), limit)


def _page(found: list[M], limit: int) -> Page[M]:
    """The page from its rows and one more, if there are any."""
    more = len(found) > limit
    return Page(found[:limit], Position.of(found[limit - 1]).encode() if more else None)


def read_limit(params: Mapping[str, str]) -> int:
    value = params.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[1-9][0-9]{0,2}", value) or int(value) > MAX_LIMIT:
        raise invalid(FieldError("limit", "invalid", f"Must be an integer from 1 to {MAX_LIMIT}."))
    return int(value)


def read_cursor(queryset: QuerySet[M], params: Mapping[str, str], id_pattern: str) -> Position | None:
    if "cursor" not in params:
        return None
    time, _, row_id = decode(params["cursor"]).rpartition(" ")
    position = None
    if re.fullmatch(id_pattern, row_id):
        position = Position(moment, row_id) if (moment := _time(time)) else _position_of(queryset, row_id)
    if position is None:
        raise invalid(FieldError("cursor", "invalid", "Must be the next_cursor of the previous page."))
    return position


def decode(cursor: str) -> str:
    """What a cursor says; nothing for what never was one."""
    try:
        return base64.urlsafe_b64decode(cursor).decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def _time(text: str) -> datetime | None:
    try:
        return read_time(text)
    except TimeError:
        return None


def _position_of(queryset: QuerySet[M], row_id: str) -> Position | None:
    row = queryset.filter(pk=row_id).only("created_at").first()
    return Position.of(row) if row else None
