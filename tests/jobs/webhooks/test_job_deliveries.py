"""What was sent to a job's own address, and what the receiver made of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import Organization
from accounts.scopes import Scope
from jobs.lifecycle import transitions
from jobs.models import Job, WebhookDelivery
from jobs.webhooks import attempts
from tests import factories
from tests.jobs.clients import keyed
from tests.jobs.loopback import Server, answering, serving
from tests.jobs.webhooks.sending import send_due

pytestmark = pytest.mark.usefixtures("redis", "store")

REFUSAL = b"HTTP/1.1 422 No\r\nContent-Length: 5000\r\n\r\n" + b"no such order; " + b"x" * 4985


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Server]:
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with serving(answering(REFUSAL, b"HTTP/1.1 204 Fine\r\n\r\n")) as server:
        yield server


@pytest.fixture
def job(acme: Organization, receiver: Server) -> Job:
    """One whose end is told to its own address, not to the organization's."""
    factories.webhook(acme, "https://receiver.example/hook")
    job = factories.job(acme, webhook_url=f"http://127.0.0.1:{receiver.port}/hook?token=s3cret")
    transitions.cancel(job.id)
    return job


def listed(client: APIClient, job: Job) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get(f"/v1/jobs/{job.id}/deliveries").json()["data"]
    return rows


def test_each_attempt_keeps_its_time_status_and_the_beginning_of_the_answer(
    acme_client: APIClient, job: Job, receiver: Server
) -> None:
    send_due()
    (delivery,) = listed(acme_client, job)
    assert (delivery["event_type"], delivery["job"], delivery["status"]) == (
        "job.canceled",
        job.id,
        "pending",
    )
    assert delivery["url"] == f"http://127.0.0.1:{receiver.port}/hook"
    assert delivery["next_attempt_at"] == delivery["next_try_at"]
    (attempt,) = delivery["attempts"]
    assert attempt["answer"] == ("no such order; " + "x" * 5000)[: attempts.ANSWER_BYTES]
    assert (attempt["status"], attempt["seconds"] < 10) == (422, True)
    assert attempt["at"].endswith("Z")


def test_one_can_be_sent_again_under_the_same_id(acme_client: APIClient, job: Job, receiver: Server) -> None:
    send_due()
    (delivery,) = listed(acme_client, job)
    again = acme_client.post(f"/v1/jobs/{job.id}/deliveries/{delivery['id']}/redeliver")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    send_due()
    (delivery,) = listed(acme_client, job)
    assert (delivery["status"], [attempt["status"] for attempt in delivery["attempts"]]) == (
        "succeeded",
        [422, 204],
    )
    assert all(f"webhook-id: {delivery['id']}" in head for head in receiver.heads)


def test_why_there_was_no_answer_is_kept_in_its_place(
    acme: Organization, acme_client: APIClient, settings: Settings
) -> None:
    job = factories.job(acme, webhook_url="https://localhost:9/hook")
    transitions.cancel(job.id)
    send_due()
    (attempt,) = listed(acme_client, job)[0]["attempts"]
    assert (attempt["status"], "private address" in attempt["answer"]) == (None, True)


def test_an_answer_that_is_no_text_is_kept_as_far_as_it_can_be(
    acme: Organization, acme_client: APIClient, settings: Settings
) -> None:
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\x00ok")) as server:
        job = factories.job(acme, webhook_url=f"http://127.0.0.1:{server.port}/")
        transitions.cancel(job.id)
        send_due()
    assert listed(acme_client, job)[0]["attempts"][0]["answer"] == "\N{REPLACEMENT CHARACTER}" * 2 + "ok"


def test_however_often_one_is_sent_again_the_last_attempts_are_kept(acme_client: APIClient, job: Job) -> None:
    for _ in range(attempts.KEPT + 2):
        (delivery,) = listed(acme_client, job)
        acme_client.post(f"/v1/jobs/{job.id}/deliveries/{delivery['id']}/redeliver")
        send_due()
    assert [attempt["status"] for attempt in listed(acme_client, job)[0]["attempts"]] == [204] * attempts.KEPT


def test_a_message_to_a_webhook_is_not_among_a_jobs_own(acme: Organization, acme_client: APIClient) -> None:
    factories.webhook(acme, "https://receiver.example/hook")
    job = factories.job(acme)
    transitions.cancel(job.id)
    assert listed(acme_client, job) == []
    path = f"/v1/jobs/{job.id}/deliveries/{WebhookDelivery.objects.get().id}/redeliver"
    assert acme_client.post(path).status_code == 404


class TestScopes:
    def test_a_key_that_reads_webhooks_changes_none_and_sees_no_secret(self, acme: Organization) -> None:
        hook = factories.webhook(acme, "https://receiver.example/hook")
        reader = keyed(factories.key(acme, scopes=frozenset({Scope.WEBHOOKS_READ})))
        job = factories.job(acme)
        for path in ("/v1/webhooks", f"/v1/webhooks/{hook.id}/deliveries", f"/v1/jobs/{job.id}/deliveries"):
            assert reader.get(path).status_code == 200
        assert reader.post(f"/v1/webhooks/{hook.id}/test").status_code == 403
        assert reader.get("/v1/webhooks/secret").status_code == 403

    def test_a_key_that_manages_webhooks_reads_them_too(self, acme: Organization) -> None:
        writer = keyed(factories.key(acme, scopes=frozenset({Scope.WEBHOOKS_WRITE})))
        assert writer.get("/v1/webhooks").status_code == 200
