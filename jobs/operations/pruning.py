"""What grows with each job and is looked up for a while only: deliveries, events, sessions of people.

The records of jobs, the months' usage and the audit log stay.
"""

from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from jobs.models import JobEvent, WebhookDelivery

BATCH = 1000
"""Rows of a kind at once, so that no round is long and no lock is held for long."""


@dataclass(frozen=True)
class Pruned:
    """How many rows were removed."""

    deliveries: int
    events: int


def prune_history() -> Pruned:
    """Remove the oldest rows whose time is over, and the sessions that have expired."""
    finished = WebhookDelivery.objects.exclude(state=WebhookDelivery.State.PENDING)
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    return Pruned(deliveries=_prune(finished), events=_prune(JobEvent.objects.all()))


def _prune(rows: QuerySet[WebhookDelivery] | QuerySet[JobEvent]) -> int:
    # Keys grow with time: the first rows of the primary key are the oldest, and need no index of their own.
    before = timezone.now() - timedelta(days=settings.HISTORY_DAYS)
    first = rows.order_by("pk").values_list("pk", "created_at")[:BATCH]
    old = [key for key, created_at in first if created_at <= before]
    return rows.model._default_manager.filter(pk__in=old).delete()[0] if old else 0
