"""When a run is over: once nothing is left to do, or once nothing gets done any more.

A machine that is busy with something else takes longer, so what counts is progress and not the seconds: that
nothing gets done any more says something only once the machine had time to spare, and nobody used it.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.db.models import Q

from chaos.customers import Customers
from gpu_worker.contract import coordination
from jobs.models import Job, JobEvent, WebhookDelivery
from jobs.states import FINAL, OPEN

# Longer than any loss, or any pause before a next try, keeps everything waiting.
STALLED_SECONDS = coordination.LEASE_SECONDS + 90.0
# Of which the processors must have been idle for so long, on average.
SPARE_SECONDS = 30.0
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
    began = Moment.now()
    changed, last = began, progress()
    while not is_over():
        keep()
        now, current = Moment.now(), progress()
        if current != last:
            last, changed = current, now
        if now.at - changed.at > STALLED_SECONDS and now.spare - changed.spare > SPARE_SECONDS:
            return False
        if now.at - began.at > MOST_SECONDS:
            raise UnfinishedError(f"Still at work, or without a processor, after {MOST_SECONDS:.0f} s.")
    return True


@dataclass(frozen=True)
class Moment:
    """A time, and for how many seconds the machine's processors have been idle by then, on average."""

    at: float
    spare: float

    @classmethod
    def now(cls) -> "Moment":
        return cls(time.monotonic(), idle_seconds())


def idle_seconds() -> float:
    """Since the machine was started; elsewhere than on Linux all time counts as idle."""
    if sys.platform != "linux":
        return time.monotonic()
    _, _user, _nice, _system, idle, *_ = Path("/proc/stat").read_text().splitlines()[0].split()
    return int(idle) / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)


def is_at_work(customers: Customers) -> bool:
    open_jobs = Job.objects.filter(status__in=OPEN)
    pending = WebhookDelivery.objects.filter(state=WebhookDelivery.State.PENDING)
    return customers.waiting > 0 or open_jobs.exists() or pending.exists()


def progress_of(customers: Customers) -> tuple[int, ...]:
    """What has been done for good: attempts that only begin and are lost again are no progress."""
    done = JobEvent.objects.filter(Q(type="window") | Q(type__in=FINAL)).count()
    delivered = WebhookDelivery.objects.exclude(state=WebhookDelivery.State.PENDING).count()
    return done, delivered, len(customers.answered), customers.waiting
