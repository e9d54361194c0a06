"""Reading many rows without holding them all, and without a cursor on the server.

A server-side cursor lives in a session, and a pool of connections in transaction mode gives nobody a session.
"""

from collections.abc import Iterator
from typing import TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def by_pk(rows: QuerySet[Row], size: int = 1000) -> Iterator[Row]:
    """The rows in the order of their primary key, read `size` at a time."""
    ordered, chunk = rows.order_by("pk"), list(rows.order_by("pk")[:size])
    while chunk:
        yield from chunk
        chunk = list(ordered.filter(pk__gt=chunk[-1].pk)[:size])
