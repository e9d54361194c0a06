"""When a run is over: once nothing is left to do, or once nothing gets done any more.

A machine that is busy with something else takes longer, so what counts is progress and not the seconds.
"""

import time
from collections.abc import Callable

from django.db.models import Q

from chaos.customers import Customers
from gpu_worker.contract import coordination
from jobs.models import Job, JobEvent, WebhookDelivery
from jobs.states import FINAL, OPEN

# Longer than any loss, or any pause before a next try, keeps everything waiting.
STALLED_SECONDS = coordination.LEASE_SECONDS + 90.0
# Against a machine that is hopelessly slow.
MOST_SECONDS = 1800.0


class UnfinishedError(Exception):
    """The run was still making progress when there was no more time: nothing can be said of its promises."""


def wait(is_over: Callable[[], bool], progress: Callable[[], object], keep: Callable[[], None]) -> bool:
    """Wait until it is over; False once nothing has changed for too long.

    Args:
        is_over: Whether nothing is left to do.
        progress: Changes with whatever gets done.
        keep: What to do all the time meanwhile.

    Raises:
        UnfinishedError: Something still gets done, and it takes too long.
    """
    began = changed_at = time.monotonic()
    last = progress()
    while not is_over():
        keep()
        now, current = time.monotonic(), progress()
        if current != last:
            last, changed_at = current, now
        if now - changed_at > STALLED_SECONDS:
            return False
        if now - began > MOST_SECONDS:
            raise UnfinishedError(f"Still at work after {MOST_SECONDS:.0f} s.")
    return True


def is_at_work(customers: Customers) -> bool:
    open_jobs = Job.objects.filter(status__in=OPEN)
    pending = WebhookDelivery.objects.filter(state=WebhookDelivery.State.PENDING)
    return customers.waiting > 0 or open_jobs.exists() or pending.exists()


def progress_of(customers: Customers) -> tuple[int, ...]:
    """What has been done for good: attempts that only begin and are lost again are no progress."""
    done = JobEvent.objects.filter(Q(type="window") | Q(type__in=FINAL)).count()
    told = WebhookDelivery.objects.exclude(state=WebhookDelivery.State.PENDING).count()
    return done, told, len(customers.answered), customers.waiting
