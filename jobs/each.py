"""A step for each row, of which none stops the others."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from redis.exceptions import RedisError

from avatar_api.common.redis import is_away
from avatar_api.common.transient_errors import STORE_ERRORS, transient_cause
from jobs import counters

log = logging.getLogger(__name__)

Row = TypeVar("Row")
Result = TypeVar("Result")


def for_each(rows: Iterable[Row], step: Callable[[Row], Result], what: str) -> list[Result]:
    """Do `step` for each row; one that can't be done is logged, counted and left out.

    Args:
        rows: What to do it for.
        step: What to do.
        what: The name of the step, for the log and the count.

    Raises:
        Exception: What befalls all rows alike: the database, Redis or the store is away.
    """
    results = []
    for row in rows:
        try:
            results.append(step(row))
        except STORE_ERRORS:
            raise
        except Exception as error:
            if transient_cause(error) or (isinstance(error, RedisError) and is_away(error)):
                raise
            log.exception("%s: one was left out", what)
            counters.left_out.add(what)
    return results
