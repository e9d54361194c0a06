"""What happens by the clock, in one process or several: an advisory lock lets one do it at a time."""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict

from django.db import connection
from django.db.utils import Error
from redis.exceptions import RedisError

from avatar_api.common.advisory_lock import advisory_lock
from jobs import counters
from jobs.operations import pruning
from jobs.operations.reconcile import EVERY_SECONDS, Reconciled, reconcile
from jobs.scheduling import dispatch
from jobs.webhooks import outbox

log = logging.getLogger(__name__)

PERIODIC_LOCK = 0x7065_7269  # "peri"


def run_until(stop: threading.Event) -> None:
    """Reconcile every ten seconds; every second, until `stop` is set, enqueue deliveries and dispatch jobs.

    A worker that comes says nothing to control: so it finds a job within a second.
    """
    while not stop.is_set():
        outlive(reconcile_once)
        outlive(pruning.prune_history)
        for _ in range(EVERY_SECONDS):
            outlive(outbox.enqueue_due)
            outlive(dispatch.dispatch_jobs)
            if stop.wait(1):
                return


def outlive(step: Callable[[], object]) -> None:
    """Do it, or log the outage that prevents it: the next round follows."""
    try:
        step()
    except (Error, RedisError):
        log.exception("a periodic step failed; the next round follows")
        connection.close()


def reconcile_once() -> Reconciled | None:
    """One round of reconcile, or None while another process does it."""
    # The lock belongs to the connection: a transaction around the round would undo all of it
    # with its last mistake, and hold back what each transition does on commit.
    with advisory_lock(PERIODIC_LOCK) as mine:
        if not mine:
            return None
        reconciled = reconcile()
    counters.count_reconcile(asdict(reconciled))
    return reconciled
