"""Errors of dependencies that are away or full: no fault of a request, and over some time later."""

from botocore.exceptions import BotoCoreError, ClientError
from django.db import InterfaceError, InternalError, OperationalError, connection

from avatar_api.common.shared_counters import SharedCounter
from gpu_worker.common.disk import lacks_room


class NotDeletedError(OSError):
    """The store refused to delete some of the objects."""


STORE_ERRORS = (OSError, BotoCoreError, ClientError)
"""What a store raises that is away, or full, or refuses us: a bucket's, or a folder's."""

READ_ONLY_TRANSACTION = "25006"

encountered = SharedCounter(
    "avatar_trouble",
    "Dependencies that were unavailable or full when a request or report needed them.",
    labels=("what",),
)


def transient_cause(error: BaseException) -> str | None:
    """What is wrong, for the log; None for a fault of ours or of the request.

    A database that is full or has no connection left raises OperationalError as one that is away does.
    """
    if isinstance(error, (OperationalError, InterfaceError)):
        return "the database is away or full"
    if isinstance(error, InternalError):
        state = getattr(error.__cause__, "sqlstate", None)
        return "the database takes no writes" if state == READ_ONLY_TRANSACTION else None
    if isinstance(error, (BotoCoreError, ClientError, NotDeletedError)):
        return "the object store is away or refuses us"
    if isinstance(error, OSError):
        return "no room is left on a disk" if lacks_room(error) else None
    return None


def drop_lost_connection() -> None:
    """After an error of the database: where the connection is lost, the next query gets a new one."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
