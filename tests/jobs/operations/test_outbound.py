"""What an `outbound` process does at once: nobody's slow server holds up anybody else."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from accounts.models import Organization
from jobs.lifecycle import fetching, transitions
from jobs.models import Job, WebhookDelivery
from jobs.operations import outbound
from jobs.webhooks import sender
from tests import factories
from tests.jobs.clients import keyed
from tests.jobs.file_server import FileServer, serving_files
from tests.jobs.loopback import OK, Server, answering, repeating, serving

pytestmark = [
    pytest.mark.usefixtures("redis", "store"),
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
]

HANGING = 200


@pytest.fixture(autouse=True)
def _loopback(settings: Settings) -> None:
    settings.OUTBOUND_ALLOW_PRIVATE = True


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def tarpit(stack: ExitStack) -> Server:
    """A server that begins to answer and never ends."""
    ended = threading.Event()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n"
    server = stack.enter_context(serving(repeating(head, b"x", ended)))
    stack.callback(ended.set)
    return server


@pytest.fixture
def silent(stack: ExitStack) -> Server:
    """A server that takes requests and never answers."""
    ended = threading.Event()
    server = stack.enter_context(serving(lambda _: ended.wait()))  # type: ignore[arg-type]
    stack.callback(ended.set)
    return server


@pytest.fixture
def receiver(stack: ExitStack) -> Server:
    return stack.enter_context(serving(answering(OK)))


@pytest.fixture
def files(stack: ExitStack, portrait: bytes, speech: bytes) -> FileServer:
    server = stack.enter_context(serving_files())
    server.files |= {"/portrait.png": portrait, "/speech.wav": speech}
    return server


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/"


def ordered(organization: Organization, image_url: str, audio_url: str) -> Job:
    body = {"image_url": image_url, "audio_url": audio_url, "resolution": "480p"}
    response: Any = keyed(factories.key(organization)).post("/v1/jobs", body, format="json")
    assert response.status_code == 202, response.json()
    return Job.objects.get(pk=response.json()["id"])


def canceled(organization: Organization, **fields: Any) -> Job:
    """A job whose end is told to webhooks."""
    job = factories.job(organization, **fields)
    transitions.cancel(job.id)
    return job


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; the test's own time-out ends a wait in vain."""
    while not condition():
        time.sleep(0.02)


def test_a_tenant_whose_servers_drip_holds_up_neither_fetches_nor_deliveries_of_others(
    acme: Organization, initech: Organization, tarpit: Server, files: FileServer, receiver: Server
) -> None:
    dripping = [ordered(acme, url(tarpit), url(tarpit)).id for _ in range(6)]
    with outbound.working():
        wait_for(lambda: len(tarpit.requests) == fetching.AT_ONCE_OF_ONE_TENANT)
        other = ordered(initech, files.url("/portrait.png"), files.url("/speech.wav"))
        factories.webhook(initech, url(receiver), event_types=["job.canceled"])
        canceled(initech)
        wait_for(lambda: Job.objects.get(pk=other.id).urls is None)
        wait_for(lambda: WebhookDelivery.objects.get().state == "succeeded")
        assert len(tarpit.requests) == fetching.AT_ONCE_OF_ONE_TENANT
        assert Job.objects.filter(pk__in=dripping, status="queued").count() == 6


def test_a_canceled_job_gives_its_place_to_the_tenants_next(acme: Organization, tarpit: Server) -> None:
    jobs = [ordered(acme, url(tarpit), url(tarpit)) for _ in range(fetching.AT_ONCE_OF_ONE_TENANT + 1)]
    with outbound.working():
        wait_for(lambda: len(tarpit.requests) == fetching.AT_ONCE_OF_ONE_TENANT)
        transitions.cancel(jobs[0].id)
        wait_for(lambda: len(tarpit.requests) == fetching.AT_ONCE_OF_ONE_TENANT + 1)


def test_a_process_that_ends_leaves_its_fetches_to_the_next_one_at_once(
    acme: Organization, tarpit: Server
) -> None:
    job = ordered(acme, url(tarpit), url(tarpit))
    with outbound.working():
        wait_for(lambda: len(tarpit.requests) == 1)
    job.refresh_from_db()
    assert (job.status, job.fetch_leased_until) == ("queued", None)


def test_200_receivers_that_never_answer_hold_up_no_other_of_the_same_tenant(
    acme: Organization, silent: Server, receiver: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "CLOSE_SECONDS", 0.0)
    for _ in range(HANGING):
        canceled(acme, webhook_url=url(silent))
    with outbound.working():
        wait_for(lambda: len(silent.requests) == HANGING)
        canceled(acme, webhook_url=url(receiver))
        wait_for(lambda: len(receiver.requests) == 1)
        assert WebhookDelivery.objects.filter(leased_until__isnull=False).count() >= HANGING


def test_a_hook_that_never_answers_holds_up_no_other_hook_of_the_same_customer(
    acme: Organization, silent: Server, receiver: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "CLOSE_SECONDS", 0.0)
    factories.webhook(acme, url(silent), event_types=["job.canceled"])
    production = factories.webhook(acme, url(receiver), event_types=["job.canceled"])
    for _ in range(20):
        canceled(acme)
    with outbound.working():
        wait_for(lambda: production.deliveries.filter(state="succeeded").count() == 20)
        wait_for(lambda: len(silent.requests) == 8)


def test_a_message_that_cannot_be_made_is_a_failed_try_and_holds_up_no_other(
    acme: Organization, receiver: Server
) -> None:
    factories.webhook(acme, url(receiver), event_types=["job.canceled"])
    canceled(acme)
    broken = WebhookDelivery.objects.get()
    WebhookDelivery.objects.update(payload={})
    canceled(acme)
    with outbound.working():
        wait_for(lambda: WebhookDelivery.objects.filter(state="succeeded").exists())
        wait_for(lambda: WebhookDelivery.objects.get(pk=broken.pk).attempts != [])
    broken.refresh_from_db()
    assert (broken.state, broken.tries, broken.last_error) == ("pending", 1, sender.NOT_MADE)


def test_a_message_is_sent_once_although_the_database_takes_no_writes_when_it_is_answered(
    acme: Organization, stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    answered = threading.Event()

    def answer(receiving: socket.socket) -> None:
        answered.wait()
        receiving.sendall(OK)

    server = stack.enter_context(serving(answer))
    stack.callback(answered.set)
    factories.webhook(acme, url(server), event_types=["job.canceled"])
    canceled(acme)
    with outbound.working():
        wait_for(lambda: len(server.requests) == 1)
        set_read_only("on")
        stack.callback(set_read_only, "off")
        answered.set()
        wait_for(lambda: "the outcome of a try waits" in caplog.text)
        set_read_only("off")
        wait_for(lambda: WebhookDelivery.objects.get().state == "succeeded")
    assert len(server.requests) == 1


def set_read_only(value: str) -> None:
    """For connections that are opened from now on, as after a failover to a standby."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}')
