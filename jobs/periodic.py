"""What happens by the clock, in one process or several: an advisory lock lets one do it at a time."""

import logging
import threading

from django.db import connection
from django.db.utils import Error
from redis.exceptions import RedisError

from jobs.repair import EVERY_SECONDS, Repaired, repair

log = logging.getLogger(__name__)

PERIODIC_LOCK = 0x7065_7269  # "peri"


def run_until(stop: threading.Event) -> None:
    """Repair every ten seconds until `stop` is set; an outage is logged and outlived."""
    while not stop.is_set():
        try:
            repair_alone()
        except (Error, RedisError):
            log.exception("a round of repair failed; the next one follows")
            connection.close()
        stop.wait(EVERY_SECONDS)


def repair_alone() -> Repaired | None:
    """One round of repair, or None while another process does it."""
    # The lock belongs to the connection: a transaction around the round would undo all of it
    # with its last mistake, and hold back what each transition does on commit.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [PERIODIC_LOCK])
        if cursor.fetchone() != (True,):
            return None
        try:
            return repair()
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [PERIODIC_LOCK])
