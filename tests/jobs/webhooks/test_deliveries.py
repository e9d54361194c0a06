"""How an event reaches its receivers: what is sent, and how often."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient
from standardwebhooks import Webhook, WebhookVerificationError

from accounts.models import Organization
from gpu_worker.contract.spec import ReportKind
from jobs.lifecycle import transitions
from jobs.models import Job, WebhookDelivery
from jobs.operations.reconcile import reconcile
from jobs.queues import outbound_queue
from jobs.tasks import record
from jobs.webhooks import endpoints, outbox
from tests import factories
from tests.jobs.loopback import Server, serving, status
from tests.jobs.reports import dispatched, report
from tests.jobs.webhooks.sending import address, deliver_next, message, send_due, succeed

pytestmark = pytest.mark.usefixtures("redis", "store", "loopback_allowed")

DAY = timedelta(days=1)


def test_a_succeeded_job_is_told_with_a_signature_that_the_standards_library_verifies(
    acme: Organization, receiver: Server
) -> None:
    hook = factories.webhook(acme, address(receiver), event_types=["job.succeeded"])
    job = dispatched(factories.job(acme))
    succeed(job)
    (delivery,) = send_due()
    headers, body = message(receiver)
    event = Webhook(hook.secret).verify(body, headers)
    assert (event["type"], event["data"]["id"], event["data"]["status"]) == (
        "job.succeeded",
        job.id,
        "succeeded",
    )
    assert (headers["webhook-id"], headers["Content-Type"]) == (delivery.id, "application/json")
    assert (delivery.state, delivery.last_status, delivery.tries) == ("succeeded", 200, 1)


def test_a_body_that_was_changed_on_the_way_is_not_verified(acme: Organization, receiver: Server) -> None:
    hook = factories.webhook(acme, address(receiver), event_types=["job.succeeded"])
    succeed(dispatched(factories.job(acme)))
    send_due()
    headers, body = message(receiver)
    with pytest.raises(WebhookVerificationError):
        Webhook(hook.secret).verify(body.replace("succeeded", "failed"), headers)


def test_addresses_are_signed_when_the_message_is_sent_and_kept_nowhere(
    acme: Organization, receiver: Server, client: APIClient
) -> None:
    factories.webhook(acme, address(receiver), event_types=["job.succeeded"])
    succeed(dispatched(factories.job(acme)))
    with time_machine.travel(timezone.now() + timedelta(hours=2)):  # Longer than an address works.
        (delivery,) = send_due()
        output = json.loads(message(receiver)[1])["data"]["output"]
        # The file was never written: 410 says that the address was good.
        assert client.get(output["url"].removeprefix("https://api.example")).status_code == 410
    assert output["thumbnail_url"].startswith("https://api.example/v1/files/")
    assert "v1/files" not in json.dumps(delivery.payload)


def test_a_message_that_is_sent_after_the_files_are_gone_says_so(
    acme: Organization, receiver: Server
) -> None:
    factories.webhook(acme, address(receiver), event_types=["job.succeeded"])
    succeed(dispatched(factories.job(acme)))
    with time_machine.travel(timezone.now() + timedelta(hours=7)):
        send_due()
    data = json.loads(message(receiver)[1])["data"]
    assert (data["output"], data["expired"], data["status"]) == (None, True, "succeeded")


def test_the_longest_job_makes_a_message_under_20_kb_that_goes_without_what_it_can(
    acme: Organization, receiver: Server
) -> None:
    factories.webhook(acme, address(receiver), event_types=["job.canceled"])
    long = "\N{GRINNING FACE}" * 2000
    metadata = {f"key {n}": "\N{GRINNING FACE}" * 120 for n in range(16)}
    job = factories.job(acme, prompt=long, negative_prompt=long, metadata=metadata)
    transitions.cancel(job.id)
    send_due()
    body = message(receiver)[1]
    data = json.loads(body)["data"]
    assert len(body.encode()) < 20_000
    assert (data["metadata"], data["input"]["prompt"], data["input"]["negative_prompt"]) == (
        metadata,
        long,
        None,
    )


class TestWhoIsTold:
    def told(self) -> list[tuple[str, str]]:
        rows = WebhookDelivery.objects.order_by("id")
        return [(row.event_type, row.endpoint_id or "the job's own") for row in rows]

    def test_endpoints_are_told_what_they_asked_for(self, acme: Organization) -> None:
        first = factories.webhook(acme, "https://a.example", event_types=["job.processing"])
        second = factories.webhook(acme, "https://b.example", event_types=["job.succeeded", "job.failed"])
        succeed(dispatched(factories.job(acme)))
        assert self.told() == [("job.processing", first.id), ("job.succeeded", second.id)]

    @pytest.mark.parametrize(
        ("end", "event_type"),
        [
            (lambda job: transitions.fail(job.id, "face_not_found", "No face."), "job.failed"),
            (lambda job: transitions.cancel(job.id), "job.canceled"),
        ],
    )
    def test_every_end_is_told(
        self, acme: Organization, end: Callable[[Job], object], event_type: str
    ) -> None:
        hook = factories.webhook(acme, "https://a.example")
        end(factories.job(acme))
        assert self.told() == [(event_type, hook.id)]

    def test_neither_the_other_mode_nor_strangers_are_told(
        self, acme: Organization, initech: Organization
    ) -> None:
        factories.webhook(acme, "https://live.example", livemode=True)
        factories.webhook(initech, "https://stranger.example")
        succeed(dispatched(factories.job(acme)))
        assert self.told() == []

    def test_a_disabled_endpoint_is_not_told(self, acme: Organization) -> None:
        endpoints.change(endpoint=factories.webhook(acme, "https://a.example"), enabled=False)
        succeed(dispatched(factories.job(acme)))
        assert self.told() == []

    def test_a_job_that_waits_again_and_starts_again_is_told_as_processing_once(
        self, acme: Organization
    ) -> None:
        hook = factories.webhook(acme, "https://a.example", event_types=["job.processing"])
        job = dispatched(factories.job(acme))
        record(report(job, ReportKind.STARTED))
        record(report(job, ReportKind.HANDED_BACK))
        record(report(dispatched(job, attempt=2), ReportKind.STARTED))
        assert self.told() == [("job.processing", hook.id)]

    def test_an_event_that_is_rolled_back_tells_nobody(self, acme: Organization) -> None:
        factories.webhook(acme, "https://a.example")
        job = factories.job(acme)
        with transaction.atomic():
            assert transitions.cancel(job.id)
            transaction.set_rollback(True)
        assert self.told() == []

    def test_a_jobs_own_address_takes_the_place_of_the_endpoints(
        self, acme: Organization, receiver: Server, acme_client: APIClient
    ) -> None:
        factories.webhook(acme, "https://a.example")
        job = dispatched(factories.job(acme, webhook_url=address(receiver)))
        succeed(job)
        assert self.told() == [("job.processing", "the job's own"), ("job.succeeded", "the job's own")]
        send_due()
        secret = acme_client.get("/v1/webhooks/secret").json()["secret"]
        headers, body = message(receiver)
        assert Webhook(secret).verify(body, headers)["data"]["id"] == job.id


class TestTries:
    @pytest.fixture
    def delivery(self, acme: Organization, refuser: Server) -> WebhookDelivery:
        factories.webhook(acme, address(refuser), event_types=["job.canceled"])
        transitions.cancel(factories.job(acme).id)
        return WebhookDelivery.objects.get()

    def test_seven_are_made_at_their_times_and_none_earlier(
        self, delivery: WebhookDelivery, refuser: Server
    ) -> None:
        begin = delivery.created_at
        waits = []
        while delivery.state == "pending":
            assert delivery.next_try_at is not None
            waits.append((delivery.next_try_at - begin).total_seconds())
            with time_machine.travel(delivery.next_try_at - timedelta(milliseconds=1), tick=False):
                assert send_due() == []
            with time_machine.travel(delivery.next_try_at, tick=False):
                send_due()
            delivery.refresh_from_db()
        for wait, at in zip(waits, (0, 5, 60, 300, 1800, 7200, 18000), strict=True):
            assert at <= wait <= 1.1 * at
        assert (delivery.state, delivery.tries, len(refuser.requests)) == ("failed", 7, 7)

    def test_a_retry_is_due_by_the_time_of_the_event_however_long_the_try_took(
        self, delivery: WebhookDelivery
    ) -> None:
        with time_machine.travel(delivery.created_at + timedelta(seconds=3), tick=False):
            send_due()
        delivery.refresh_from_db()
        assert delivery.next_try_at is not None
        assert 5 <= (delivery.next_try_at - delivery.created_at).total_seconds() <= 5.5

    def test_after_an_outage_of_ours_the_tries_that_were_missed_are_not_made_up_for(
        self, delivery: WebhookDelivery
    ) -> None:
        with time_machine.travel(delivery.created_at + timedelta(hours=1), tick=False):
            send_due()
        delivery.refresh_from_db()
        assert delivery.next_try_at is not None
        assert 7200 <= (delivery.next_try_at - delivery.created_at).total_seconds() <= 1.1 * 7200

    def test_one_that_is_sent_again_after_its_last_try_is_tried_once(
        self, delivery: WebhookDelivery, refuser: Server
    ) -> None:
        with time_machine.travel(delivery.created_at + timedelta(hours=6), tick=False):
            send_due()
            delivery.refresh_from_db()
            assert delivery.state == "failed"
            endpoints.redeliver(delivery=delivery)
            send_due()
        delivery.refresh_from_db()
        assert (delivery.state, len(refuser.requests)) == ("failed", 2)

    def test_each_is_the_same_message_signed_anew(self, delivery: WebhookDelivery, refuser: Server) -> None:
        send_due()
        with time_machine.travel(timezone.now() + timedelta(seconds=6)):
            send_due()
        (first, body), (second, same_body) = message(refuser, 0), message(refuser, 1)
        assert (first["webhook-id"], body) == (second["webhook-id"], same_body)
        assert int(second["webhook-timestamp"]) >= int(first["webhook-timestamp"]) + 5
        assert first["webhook-signature"] != second["webhook-signature"]

    def test_what_failed_together_does_not_come_back_together(self, acme: Organization) -> None:
        factories.webhook(acme, "http://127.0.0.1:9/closed", event_types=["job.canceled"])
        for _ in range(5):
            transitions.cancel(factories.job(acme).id)
        with time_machine.travel(timezone.now(), tick=False):
            assert len({row.next_try_at for row in send_due()}) == 5

    @pytest.mark.parametrize("code", [301, 302, 404, 410, 429, 503])
    def test_only_a_2xx_is_a_success(self, acme: Organization, code: int) -> None:
        with serving(status(code)) as server:
            factories.webhook(acme, address(server))
            transitions.cancel(factories.job(acme).id)
            (delivery,) = send_due()
        assert (delivery.state == "succeeded", delivery.last_status) == (False, code)

    def test_a_private_address_is_never_asked(
        self, acme: Organization, receiver: Server, settings: Settings
    ) -> None:
        settings.OUTBOUND_ALLOW_PRIVATE = False
        factories.webhook(acme, f"https://127.0.0.1:{receiver.port}/")
        transitions.cancel(factories.job(acme).id)
        (delivery,) = send_due()
        assert delivery.last_error.startswith("The URL leads to a private address")
        assert "OUTBOUND_ALLOW_PRIVATE" in delivery.last_error
        assert receiver.requests == []

    def test_a_success_is_not_repeated(self, acme: Organization, receiver: Server) -> None:
        factories.webhook(acme, address(receiver), event_types=["job.canceled"])
        transitions.cancel(factories.job(acme).id)
        send_due()
        deliver_next()
        with time_machine.travel(timezone.now() + DAY):
            deliver_next()
        assert len(receiver.requests) == 1


class TestRinging:
    def test_an_event_rings_once_it_is_committed(
        self, acme: Organization, redis: Redis, django_capture_on_commit_callbacks: Any
    ) -> None:
        factories.webhook(acme, "https://a.example", event_types=["job.canceled"])
        with django_capture_on_commit_callbacks(execute=True):
            transitions.cancel(factories.job(acme).id)
        (rq_id,) = outbound_queue(redis).job_ids
        assert rq_id.startswith(WebhookDelivery.objects.get().id)

    def test_a_ring_that_was_lost_is_repeated_once(self, acme: Organization, redis: Redis) -> None:
        factories.webhook(acme, "https://a.example", event_types=["job.canceled"])
        transitions.cancel(factories.job(acme).id)  # Its commit never comes in this test.
        assert reconcile().deliveries == 1
        assert reconcile().deliveries == 0
        assert len(outbound_queue(redis)) == 1

    def test_what_is_not_due_is_not_rung_for(self, acme: Organization) -> None:
        factories.webhook(acme, "http://127.0.0.1:9/closed", event_types=["job.canceled"])
        transitions.cancel(factories.job(acme).id)
        send_due()
        assert outbox.enqueue_due() == 0
        with time_machine.travel(timezone.now() + timedelta(seconds=6)):
            assert outbox.enqueue_due() == 1
