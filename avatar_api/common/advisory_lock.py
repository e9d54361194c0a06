"""One process at a time, by a lock of the database. A key is a name, or the number that it always was."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

Key = str | int


@contextmanager
def advisory_lock(key: Key) -> Iterator[bool]:
    """Holds the lock of this key meanwhile, if nobody else does; yields whether it does.

    It belongs to a transaction that does nothing else, on a connection of its own: so it goes with a process
    that is lost, undoes nothing of what is done meanwhile, and works behind a pool that lends its connections
    for a transaction. Locks of sessions and of transactions exclude each other.
    """
    own = connection.copy()
    try:
        own.set_autocommit(False)
        with own.cursor() as cursor:
            cursor.execute(f"SELECT pg_try_advisory_xact_lock({_number(key)})", [key])
            mine = cursor.fetchone() == (True,)
        yield mine
    finally:
        own.close()


def lock_until_commit(key: Key) -> None:
    """Waits for the lock of this key, and holds it until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_xact_lock({_number(key)})", [key])


def _number(key: Key) -> str:
    return "%s" if isinstance(key, int) else "hashtextextended(%s, 0)"
