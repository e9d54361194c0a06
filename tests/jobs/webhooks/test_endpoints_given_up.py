"""When an endpoint is given up, and how its secret is replaced and kept."""

from datetime import datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from accounts.models import Organization
from jobs.lifecycle import transitions
from jobs.models import WebhookDelivery, WebhookEndpoint
from jobs.webhooks import endpoints
from tests import factories
from tests.jobs.loopback import OK, Server, answering, serving, status
from tests.jobs.webhooks.sending import address, deliver_next, message, send_due

pytestmark = pytest.mark.usefixtures("redis", "store", "loopback_allowed")

DAY = timedelta(days=1)


class TestGivingUp:
    def test_410_disables_the_endpoint_at_once_and_drops_what_waits(self, acme: Organization) -> None:
        with serving(status(410)) as server:
            hook = factories.webhook(acme, address(server), event_types=["job.canceled"])
            for _ in range(2):
                transitions.cancel(factories.job(acme).id)
            deliver_next()
        hook.refresh_from_db()
        assert (hook.disabled_at is not None, hook.disabled_reason) == (
            True,
            "The receiver responded with status 410.",
        )
        assert set(hook.deliveries.values_list("state", "tries")) == {("failed", 1), ("failed", 0)}
        assert len(server.requests) == 1

    def fail_wholly(self, acme: Organization, moment: datetime) -> None:
        """One delivery that was tried in vain to the end."""
        with time_machine.travel(moment):
            transitions.cancel(factories.job(acme).id)
            WebhookDelivery.objects.filter(state="pending").update(tries=6)
            send_due()

    def test_three_days_in_which_every_delivery_failed_disable_it(
        self, acme: Organization, refuser: Server
    ) -> None:
        hook = factories.webhook(acme, address(refuser), event_types=["job.canceled"])
        begin = timezone.now()
        for day in (0, 1, 2.9):
            self.fail_wholly(acme, begin + day * DAY)
            hook.refresh_from_db()
            assert hook.disabled_at is None
        self.fail_wholly(acme, begin + 3.01 * DAY)
        hook.refresh_from_db()
        assert hook.disabled_reason == "Every delivery failed for 3 days."

    def test_one_success_in_between_starts_the_count_anew(self, acme: Organization) -> None:
        begin = timezone.now()
        failure = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
        with serving(answering(failure, OK, failure)) as server:
            hook = factories.webhook(acme, address(server), event_types=["job.canceled"])
            for day in (0, 1, 2, 4.9):
                self.fail_wholly(acme, begin + day * DAY)
        hook.refresh_from_db()
        assert hook.disabled_at is None

    def test_an_endpoint_that_is_disabled_meanwhile_is_not_asked(
        self, acme: Organization, receiver: Server
    ) -> None:
        hook = factories.webhook(acme, address(receiver), event_types=["job.canceled"])
        transitions.cancel(factories.job(acme).id)
        WebhookEndpoint.objects.update(disabled_at=timezone.now())  # While the event was being committed.
        (delivery,) = send_due()
        assert (delivery.state, receiver.requests, hook.id) == ("failed", [], delivery.endpoint_id)


class TestRotation:
    def test_both_secrets_sign_while_one_takes_the_others_place(
        self, acme: Organization, receiver: Server
    ) -> None:
        hook = factories.webhook(acme, address(receiver), event_types=["job.canceled"])
        old = hook.secret
        new = endpoints.rotate_secret(endpoint=hook, overlap_seconds=3600).secret
        transitions.cancel(factories.job(acme).id)
        send_due()
        headers, body = message(receiver)
        assert len(headers["webhook-signature"].split(" ")) == 2
        for secret in (old, new):
            Webhook(secret).verify(body, headers)

    def test_the_old_secret_signs_no_more_when_its_time_is_over(
        self, acme: Organization, receiver: Server
    ) -> None:
        hook = factories.webhook(acme, address(receiver), event_types=["job.canceled"])
        endpoints.rotate_secret(endpoint=hook, overlap_seconds=0)
        transitions.cancel(factories.job(acme).id)
        send_due()
        headers, body = message(receiver)
        with pytest.raises(WebhookVerificationError):
            Webhook(hook.secret).verify(body, headers)


def test_secrets_and_a_jobs_own_address_are_encrypted_at_rest(acme: Organization) -> None:
    hook = factories.webhook(acme, "https://a.example")
    endpoints.rotate_secret(endpoint=hook, overlap_seconds=9)
    endpoints.default_secret(acme, livemode=False)
    factories.job(acme, webhook_url="https://b.example/hook?token=s3cret")
    columns = {
        "jobs_webhookendpoint": "secret || previous_secret",
        "jobs_webhooksecret": "secret",
        "jobs_job": "webhook_url",
    }
    with connection.cursor() as cursor:
        for table, column in columns.items():
            cursor.execute(f"SELECT {column} FROM {table}")
            (stored,) = cursor.fetchone()
            assert "whsec_" not in stored
            assert "s3cret" not in stored
