"""How long deliveries, events and sessions can be looked up."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Organization
from jobs.models import Job, JobEvent, WebhookDelivery
from jobs.operations import pruning
from jobs.operations.pruning import Pruned
from tests import factories

pytestmark = pytest.mark.django_db
IN_90_DAYS = timedelta(days=90, minutes=1)


def deliveries(acme: Organization, count: int = 1) -> list[WebhookDelivery]:
    """Deliveries that are done."""
    endpoint = factories.webhook(acme)
    made = [factories.delivery(endpoint) for _ in range(count)]
    WebhookDelivery.objects.update(state=WebhookDelivery.State.SUCCEEDED, next_try_at=None)
    return made


def test_deliveries_go_after_their_days_and_not_before(acme: Organization) -> None:
    deliveries(acme)
    with time_machine.travel(timezone.now() + timedelta(days=89)):
        assert pruning.prune_history().deliveries == 0
    with time_machine.travel(timezone.now() + IN_90_DAYS):
        assert pruning.prune_history().deliveries == 1
    assert not WebhookDelivery.objects.exists()


def test_a_delivery_that_isnt_done_stays_and_hides_none_behind_it(acme: Organization) -> None:
    pending = factories.delivery(factories.webhook(acme, "https://other.example/hook"))
    done = deliveries(acme)[0]
    WebhookDelivery.objects.filter(pk=pending.pk).update(state=WebhookDelivery.State.PENDING)
    with time_machine.travel(timezone.now() + IN_90_DAYS):
        pruning.prune_history()
    assert list(WebhookDelivery.objects.values_list("pk", flat=True)) == [pending.pk] != [done.pk]


def test_events_go_and_the_record_of_their_job_stays(acme: Organization) -> None:
    job = factories.job(acme)
    JobEvent.objects.create(job=job, type="queued", attempt=0)
    with time_machine.travel(timezone.now() + IN_90_DAYS):
        late = JobEvent.objects.create(job=job, type="rung", attempt=1)
        assert pruning.prune_history() == Pruned(deliveries=0, events=1)
    assert list(job.events.all()) == [late]
    assert Job.objects.filter(pk=job.pk).exists()


def test_the_days_are_a_setting(acme: Organization, settings: Settings) -> None:
    settings.HISTORY_DAYS = 7
    deliveries(acme)
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        assert pruning.prune_history().deliveries == 1


def test_a_round_takes_a_batch(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    deliveries(acme, 3)
    with time_machine.travel(timezone.now() + IN_90_DAYS):
        assert [pruning.prune_history().deliveries for _ in range(3)] == [2, 1, 0]


def test_sessions_that_have_expired_go() -> None:
    for seconds in (10, 10_000):
        session = SessionStore()
        session.set_expiry(seconds)
        session.save()
    with time_machine.travel(timezone.now() + timedelta(seconds=20)):
        pruning.prune_history()
    assert Session.objects.count() == 1
