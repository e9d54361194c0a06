"""What happens by the clock, in one process or several: an advisory lock lets one reconcile at a time.

Two threads: one looks every second at what must happen at once, and one at the rest, which may take its time.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict

from django.db import connection

from avatar_api.common.advisory_lock import advisory_lock
from avatar_api.common.redis import redis_client
from jobs import counters
from jobs.operations import attempts, pruning
from jobs.operations.reconcile import EVERY_SECONDS, Reconciled, reconcile
from jobs.scheduling import dispatch
from jobs.webhooks import outbox

log = logging.getLogger(__name__)

PERIODIC_LOCK = 0x7065_7269  # "peri"
LOOK_SECONDS = 0.5


def run_until(stop: threading.Event) -> None:
    """Do everything by the clock until `stop` is set."""
    look = threading.Thread(target=repeat, args=[stop, LOOK_SECONDS, LOOKS], name="looks")
    look.start()
    repeat(stop, EVERY_SECONDS, ROUNDS)
    look.join()


def repeat(stop: threading.Event, seconds: float, steps: dict[str, Callable[[], object]]) -> None:
    while not stop.is_set():
        for name, step in steps.items():
            outlive(name, step)
        stop.wait(seconds)
    connection.close()


def outlive(name: str, step: Callable[[], object]) -> None:
    """Do it, or log what prevents it: the next round follows, whatever it was."""
    try:
        step()
    except Exception:
        log.exception("%s failed; the next round follows", name)
        counters.left_out.add(name)
        connection.close()


def look_at_attempts() -> None:
    """Have the jobs of lost workers wait again, and by that rendered by another one."""
    with redis_client() as redis:
        attempts.reconcile_attempts(redis)


def reconcile_once() -> Reconciled | None:
    """One round of reconcile, or None while another process does it."""
    with advisory_lock(PERIODIC_LOCK) as mine:
        if not mine:
            return None
        reconciled = reconcile()
    counters.count_reconcile(asdict(reconciled))
    return reconciled


# A worker that comes or becomes free says so in its heartbeat alone: so it finds a job within a second.
LOOKS: dict[str, Callable[[], object]] = {
    "attempts": look_at_attempts,
    "dispatch": dispatch.dispatch_jobs,
    "deliveries": outbox.enqueue_due,
}
ROUNDS: dict[str, Callable[[], object]] = {"reconcile": reconcile_once, "pruning": pruning.prune_history}
