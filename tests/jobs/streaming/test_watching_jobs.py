"""Server-sent events and `Prefer: wait`."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from redis import Redis

from accounts.models import ApiKey, Organization
from gpu_worker.contract import coordination
from gpu_worker.contract.spec import ReportKind
from jobs.models import Job
from jobs.streaming import admission
from jobs.streaming.pubsub import Hub
from jobs.tasks import record
from tests import factories
from tests.jobs.asgi_client import SECONDS, Event, Request, Stack, run
from tests.jobs.clients import multipart
from tests.jobs.reports import dispatched, report

pytestmark = [
    pytest.mark.usefixtures("redis", "store"),
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
]


@pytest.fixture
def acme(transactional_db: None, django_db_serialized_rollback: None) -> Organization:
    return factories.organization("Acme")


@pytest.fixture
def bearer(acme: Organization) -> dict[str, str]:
    return {"authorization": f"Bearer {factories.key(acme)}"}


@pytest.fixture
def job(acme: Organization) -> Job:
    return dispatched(factories.job(acme))


async def told(job: Job, kind: ReportKind, **fields: Any) -> None:
    await in_thread(record, report(job, kind, **fields))


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run what uses the database in a thread, and give its connection back."""

    def run_and_close() -> Any:
        try:
            return function(*args)
        finally:
            connection.close()

    return await asyncio.to_thread(run_and_close)


async def first(request: Request) -> Event:
    return await anext(aiter(request.events()))


def test_a_listener_hears_each_state_and_the_end(job: Job, bearer: dict[str, str]) -> None:
    heard: list[tuple[str, str]] = []

    async def scenario(stack: Stack) -> None:
        request = Request(stack.app, "GET", f"/v1/jobs/{job.id}/events", bearer)
        status, headers = await request.start()
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        events = aiter(request.events())
        async for event in events:
            heard.append((event.name, event.job["status"]))
            if heard[-1] == ("status", "queued"):
                await told(job, ReportKind.STARTED)
            elif heard[-1] == ("status", "processing"):
                await told(job, ReportKind.SUCCEEDED)
        await request.task

    run(scenario)
    # Progress may be told several times, of the queue as well.
    assert ("progress", "processing") in heard
    assert [each for each in heard if each[0] != "progress"] == [
        ("status", "queued"),
        ("status", "processing"),
        ("status", "succeeded"),
        ("done", "succeeded"),
    ]


def test_progress_that_a_worker_writes_is_told(job: Job, bearer: dict[str, str], redis: Redis) -> None:
    record(report(job, ReportKind.STARTED))

    async def scenario(stack: Stack) -> None:
        request = Request(stack.app, "GET", f"/v1/jobs/{job.id}/events", bearer)
        await request.start()
        events = aiter(request.events())
        assert [(await anext(events)).name for _ in range(2)] == ["status", "progress"]
        coordination.write_progress(redis, job.id, coordination.Progress(1, "sampling", 0, 2, 1, 4, 0.25))
        event = await anext(events)
        assert (event.name, event.job["progress"], event.job["stage"]) == ("progress", 25, "sampling")
        request.hang_up()
        await request.task

    run(scenario)


def test_a_client_that_comes_back_up_to_date_hears_only_what_is_new(job: Job, bearer: dict[str, str]) -> None:
    async def scenario(stack: Stack) -> None:
        path = f"/v1/jobs/{job.id}/events"
        before = Request(stack.app, "GET", path, bearer)
        await before.start()
        last = await first(before)
        before.hang_up()
        await before.task
        back = Request(stack.app, "GET", path, {**bearer, "last-event-id": last.id})
        await back.start()
        await told(job, ReportKind.STARTED)
        heard = []
        async for event in back.events():
            heard.append(event.id)
            if event.job["status"] == "processing":
                break
        assert last.id not in heard
        back.hang_up()
        await back.task

    run(scenario)


def test_a_job_that_has_ended_is_told_and_done_at_once(job: Job, bearer: dict[str, str]) -> None:
    record(report(job, ReportKind.SUCCEEDED))

    async def scenario(stack: Stack) -> None:
        request = Request(stack.app, "GET", f"/v1/jobs/{job.id}/events", bearer)
        await request.start()
        assert [event.name async for event in request.events()] == ["status", "done"]

    run(scenario)


def test_every_event_has_an_id_of_its_own(job: Job, bearer: dict[str, str]) -> None:
    record(report(job, ReportKind.STARTED))

    async def scenario(stack: Stack) -> None:
        request = Request(stack.app, "GET", f"/v1/jobs/{job.id}/events", bearer)
        await request.start()
        ids = []
        async for event in request.events():
            ids.append(event.id)
            if len(ids) == 2:
                await told(job, ReportKind.SUCCEEDED)
        assert len(ids) == len(set(ids)) >= 4

    run(scenario)


def test_a_client_that_has_heard_the_end_is_told_not_to_come_again(job: Job, bearer: dict[str, str]) -> None:
    record(report(job, ReportKind.SUCCEEDED))

    async def scenario(stack: Stack) -> None:
        path = f"/v1/jobs/{job.id}/events"
        request = Request(stack.app, "GET", path, bearer)
        await request.start()
        last = [event.id async for event in request.events()][-1]
        again = Request(stack.app, "GET", path, {**bearer, "last-event-id": last})
        status, answered = await again.start()
        assert (status, await again.body()) == (204, b"")
        assert "x-request-id" in answered

    run(scenario)


@pytest.mark.parametrize("change", ["revoked", "expired", "bound to another address", "suspended"])
def test_a_stream_ends_when_its_key_no_longer_holds(
    job: Job, bearer: dict[str, str], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "CHECK_SECONDS", 0.0)
    changes: dict[str, Callable[[], Any]] = {
        "revoked": lambda: ApiKey.objects.update(revoked_at=timezone.now()),
        "expired": lambda: ApiKey.objects.update(expires_at=timezone.now()),
        "bound to another address": lambda: ApiKey.objects.update(allowed_ips=["192.0.2.1/32"]),
        "suspended": lambda: Organization.objects.update(suspended_at=timezone.now()),
    }

    async def scenario(stack: Stack) -> None:
        request = Request(stack.app, "GET", f"/v1/jobs/{job.id}/events", bearer)
        await request.start()
        await first(request)
        await in_thread(changes[change])
        await told(job, ReportKind.STARTED)
        heard = [event.name async for event in request.events()]
        assert "done" not in heard
        await request.task

    run(scenario)


def test_an_organization_has_so_many_streams_and_no_more(
    job: Job, bearer: dict[str, str], acme: Organization
) -> None:
    acme.test_plan.open_streams = 1
    acme.test_plan.save()

    async def scenario(stack: Stack) -> None:
        path = f"/v1/jobs/{job.id}/events"
        held = Request(stack.app, "GET", path, bearer)
        await held.start()
        second = Request(stack.app, "GET", path, bearer)
        status, answered = await second.start()
        assert (status, answered["content-type"]) == (429, "application/problem+json")
        held.hang_up()
        await held.task
        assert (await Request(stack.app, "GET", path, bearer).start())[0] == 200

    run(scenario)


@pytest.mark.parametrize("milliseconds", [0, 0.2, 0.5, 1, 2])
def test_the_subscription_ends_whenever_it_is_closed(redis: Redis, milliseconds: float) -> None:
    """redis-py takes a cancellation that comes while it connects for its own."""

    async def scenario() -> None:
        for _ in range(20):
            hub = Hub(settings.REDIS_URL)
            with hub.watch("job_1"):
                await asyncio.sleep(milliseconds / 1000)
            async with asyncio.timeout(SECONDS):
                await hub.close()

    asyncio.run(scenario())


def test_events_of_a_strangers_job_are_not_found(bearer: dict[str, str]) -> None:
    theirs = factories.job(factories.organization("Initech"))

    async def scenario(stack: Stack) -> None:
        for headers, expected in ((bearer, 404), ({}, 401)):
            request = Request(stack.app, "GET", f"/v1/jobs/{theirs.id}/events", headers)
            status, answered = await request.start()
            assert (status, answered["content-type"]) == (expected, "application/problem+json")
            await request.task

    run(scenario)


def test_many_listeners_of_one_job_share_its_readings(
    job: Job, bearer: dict[str, str], acme: Organization
) -> None:
    acme.test_plan.read_per_minute = 1000
    acme.test_plan.save()

    async def scenario(stack: Stack) -> None:
        path = f"/v1/jobs/{job.id}/events"
        requests = [Request(stack.app, "GET", path, bearer) for _ in range(50)]
        for request in requests:
            await request.start()
        for request in requests:
            assert (await first(request)).job["status"] == "queued"
        await told(job, ReportKind.SUCCEEDED)
        for request in requests:
            assert [event.name async for event in request.events()][-2:] == ["status", "done"]

    run(scenario)


def test_prefer_wait_holds_the_answer_until_the_job_has_ended(
    bearer: dict[str, str], portrait: bytes, speech: bytes
) -> None:
    body, content_type = multipart(portrait, speech)

    async def scenario(stack: Stack) -> None:
        headers = {**bearer, "prefer": "respond-async, wait=30", "content-type": content_type}
        request = Request(stack.app, "POST", "/v1/jobs", headers, body)
        job = await created()
        await in_thread(dispatched, job)
        await told(job, ReportKind.SUCCEEDED)
        status, answered = await request.start()
        shown = await request.body()
        assert (status, answered["preference-applied"]) == (200, "wait=30")
        assert b'"status":"succeeded"' in shown
        assert int(answered["content-length"]) == len(shown)

    run(scenario)


def test_prefer_wait_answers_202_when_the_time_is_over(
    bearer: dict[str, str], portrait: bytes, speech: bytes
) -> None:
    body, content_type = multipart(portrait, speech)

    async def scenario(stack: Stack) -> None:
        headers = {**bearer, "prefer": "wait=1", "content-type": content_type}
        request = Request(stack.app, "POST", "/v1/jobs", headers, body)
        status, answered = await request.start()
        assert (status, answered["preference-applied"]) == (202, "wait=1")

    run(scenario)


def test_a_refused_request_does_not_wait(bearer: dict[str, str]) -> None:
    async def scenario(stack: Stack) -> None:
        headers = {**bearer, "prefer": "wait=30", "content-type": "text/plain"}
        request = Request(stack.app, "POST", "/v1/jobs", headers, b"hello")
        status, answered = await request.start()
        assert (status, "preference-applied" in answered) == (415, False)

    run(scenario)


async def created() -> Job:
    """The job that a request in flight makes, once it has been dispatched."""
    async with asyncio.timeout(SECONDS):
        while (job := await in_thread(Job.objects.filter(attempt=1).first)) is None:
            await asyncio.sleep(0.02)
    return job
