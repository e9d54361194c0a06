"""Who sends what is due: many workers, each delivery once."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import close_old_connections
from django.utils import timezone
from redis import Redis

from accounts.models import Organization
from jobs.lifecycle import transitions
from jobs.management.commands import control_worker
from jobs.models import WebhookDelivery
from jobs.operations import outbound
from jobs.queues import outbound_queue
from tests import factories
from tests.jobs.loopback import OK, Server, serving
from tests.jobs.webhooks.sending import address, deliver_next, message

pytestmark = pytest.mark.usefixtures("redis", "store", "loopback_allowed")

DAY = timedelta(days=1)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestWorkers:
    def test_the_outbound_worker_runs_what_was_rung_for_and_nothing_else(
        self, acme: Organization, receiver: Server, redis: Redis, tmp_path: Path
    ) -> None:
        factories.webhook(acme, address(receiver), event_types=["job.canceled"])
        transitions.cancel(factories.job(acme).id)
        forbidden = outbound_queue(redis).enqueue("os.mkdir", args=(str(tmp_path / "made"),))
        with outbound.working():
            control_worker.worker_of("outbound", redis).work(burst=True, logging_level="CRITICAL")
            wait_for(lambda: WebhookDelivery.objects.get().state == "succeeded")
        assert forbidden.get_status() == "failed"
        assert list(tmp_path.glob("made")) == []

    def test_of_many_workers_one_sends(self, acme: Organization, receiver: Server) -> None:
        factories.webhook(acme, address(receiver), event_types=["job.canceled"])
        transitions.cancel(factories.job(acme).id)
        delivery = WebhookDelivery.objects.get()
        together(8, deliver_next)
        delivery.refresh_from_db()
        assert (len(receiver.requests), delivery.tries, delivery.state) == (1, 1, "succeeded")

    def test_what_a_dead_worker_held_is_sent_again_under_the_same_id(
        self, acme: Organization, receiver: Server
    ) -> None:
        factories.webhook(acme, address(receiver), event_types=["job.canceled"])
        transitions.cancel(factories.job(acme).id)
        delivery = WebhookDelivery.objects.get()
        # As a worker leaves it that is killed while it sends.
        WebhookDelivery.objects.update(tries=1, leased_until=timezone.now() + timedelta(seconds=60))
        deliver_next()
        assert receiver.requests == []
        with time_machine.travel(timezone.now() + timedelta(seconds=61)):
            deliver_next()
        delivery.refresh_from_db()
        assert (delivery.state, delivery.tries) == ("succeeded", 2)
        assert message(receiver)[0]["webhook-id"] == delivery.id

    def test_a_worker_whose_lease_is_over_changes_nothing(self, acme: Organization) -> None:
        """It was held up for more than a minute in mid-sending, and another has taken over."""
        taken_over = threading.Event()

        def answer_late(connection: Any) -> None:
            taken_over.wait()
            connection.sendall(OK)

        with serving(answer_late) as server:
            factories.webhook(acme, address(server), event_types=["job.canceled"])
            transitions.cancel(factories.job(acme).id)
            delivery = WebhookDelivery.objects.get()
            thread = in_thread(deliver_next)
            while not server.requests:
                thread.join(0.01)
            WebhookDelivery.objects.update(tries=2)
            taken_over.set()
            thread.join()
        delivery.refresh_from_db()
        assert (delivery.state, delivery.tries, delivery.last_status) == ("pending", 2, None)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; the test's own time-out ends a wait in vain."""
    while not condition():
        time.sleep(0.02)


def in_thread(action: Callable[[], object]) -> threading.Thread:
    def act() -> None:
        try:
            action()
        finally:
            close_old_connections()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def together(number: int, action: Callable[[], object]) -> None:
    barrier = threading.Barrier(number)

    def act() -> None:
        barrier.wait()
        action()

    for thread in [in_thread(act) for _ in range(number)]:
        thread.join()
