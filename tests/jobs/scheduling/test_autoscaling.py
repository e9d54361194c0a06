"""When workers of the RunPod endpoint are woken, how many, and what happens while RunPod is away."""

import logging
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.core.checks import run_checks
from django.db import connection
from django.utils import timezone
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from accounts.models import Organization
from gpu_worker.contract.spec import ReportKind
from jobs.models import Job
from jobs.operations.reconcile import reconcile
from jobs.queues import OutboundJob, outbound_queue
from jobs.scheduling import dispatch
from jobs.scheduling.autoscaling import runpod, status, trigger
from jobs.tasks import record, wake
from tests import factories
from tests.gpu_worker import runpod_plane
from tests.gpu_worker.runpod_plane import ENDPOINT_ID, KEY, ControlPlane
from tests.jobs.reports import dispatched, report

pytestmark = pytest.mark.usefixtures("redis", "store")


@pytest.fixture
def plane(settings: Settings) -> Iterator[ControlPlane]:
    with runpod_plane.of_deployment(settings) as plane:
        yield plane


@pytest.fixture
def busy(db: None) -> Organization:
    """An organization that may render ten jobs at once."""
    return factories.organization("Busy", plan="scale")


def waiting(of: Organization, number: int = 1) -> list[Job]:
    return [factories.job(of, livemode=True, engine="infinitetalk") for _ in range(number)]


def begin(job: Job) -> Job:
    """A worker takes the job and says so."""
    record(report(dispatched(job), ReportKind.STARTED))
    return job


def work_off(redis: Redis) -> None:
    """What an `outbound` worker does until its queue is empty."""
    queue = outbound_queue(redis)
    SimpleWorker([queue], connection=redis, serializer=JSONSerializer, job_class=OutboundJob).work(burst=True)


def test_a_job_that_waits_for_the_gpu_wakes_a_worker(
    busy: Organization, plane: ControlPlane, redis: Redis
) -> None:
    waiting(busy)
    dispatch.dispatch_jobs()
    assert (plane.asked, plane.looks) == ([], 0), "whoever dispatches must not wait for RunPod"
    work_off(redis)
    (body,) = plane.asked
    assert body["input"] == {"seconds": 480}
    assert body["policy"]["executionTimeout"] == 600_000
    assert body["policy"]["ttl"] > 600_000


def test_a_job_for_the_preview_wakes_nobody(acme: Organization, plane: ControlPlane, redis: Redis) -> None:
    factories.job(acme)
    dispatch.dispatch_jobs()
    assert outbound_queue(redis).is_empty()
    wake()
    assert plane.asked == []


def test_without_an_endpoint_nothing_of_it_happens(
    busy: Organization, plane: ControlPlane, redis: Redis, settings: Settings, client: APIClient
) -> None:
    settings.RUNPOD_ENDPOINT_ID = ""
    waiting(busy)
    dispatch.dispatch_jobs()
    reconcile()
    wake()
    assert outbound_queue(redis).is_empty()
    assert not redis.keys("waking:*")
    assert (plane.asked, plane.looks) == ([], 0)
    assert "details" not in client.get("/readyz").json()
    assert "runpod" not in scrape(settings, client)


def test_there_is_a_wake_for_each_job_that_waits_and_none_more(
    busy: Organization, plane: ControlPlane
) -> None:
    waiting(busy, 3)
    dispatch.dispatch_jobs()  # Of which one comes into the queue while there is no worker.
    for _ in range(3):
        wake()
    assert len(plane.asked) == 3


def test_there_are_never_more_wakes_than_there_may_be_workers(
    busy: Organization, plane: ControlPlane, settings: Settings
) -> None:
    settings.RUNPOD_MAX_WORKERS = 2
    waiting(busy, 6)
    for _ in range(3):
        wake()
    assert len(plane.asked) == 2
    plane.take()
    wake()
    assert len(plane.asked) == 2, "a turn in progress is one of them"


def test_jobs_that_their_tenants_limit_keeps_back_wake_nobody(
    acme: Organization, plane: ControlPlane
) -> None:
    waiting(acme, 4)  # One at a time, says its plan.
    wake()
    assert len(plane.asked) == 1
    plane.take()
    begin(Job.objects.earliest("id"))
    wake()
    assert len(plane.asked) == 1


def test_a_turn_that_has_no_job_yet_takes_the_one_that_waits(busy: Organization, plane: ControlPlane) -> None:
    (job,) = waiting(busy)
    wake()
    plane.take()
    wake()
    assert len(plane.asked) == 1, "the worker is here and takes the job at any moment"
    begin(job)
    wake()
    assert len(plane.asked) == 1
    waiting(busy)
    wake()
    assert len(plane.asked) == 2, "the worker is at work: the next job needs another"


def test_a_job_that_is_handed_back_at_the_end_of_a_turn_is_given_another(
    busy: Organization, plane: ControlPlane
) -> None:
    (job,) = waiting(busy)
    wake()
    turn = plane.take()
    begin(job)
    record(report(job, ReportKind.HANDED_BACK))
    plane.finish(turn)
    wake()
    assert len(plane.asked) == 2


def test_a_turn_whose_worker_died_isnt_waited_for(busy: Organization, plane: ControlPlane) -> None:
    waiting(busy)
    wake()
    plane.take()  # And nothing is heard of that worker.
    begin = timezone.now()
    for seconds, wakes in ((0, 1), (20, 1), (40, 2), (50, 2)):
        with time_machine.travel(begin + timedelta(seconds=seconds)):
            wake()
        assert len(plane.asked) == wakes, f"after {seconds} s"


def test_a_worker_that_isnt_the_endpoints_keeps_nobody_awake(busy: Organization, plane: ControlPlane) -> None:
    begin(waiting(busy)[0])
    wake()
    assert plane.asked == []


def test_a_wake_that_runpod_lost_is_made_again_by_repair(
    busy: Organization, plane: ControlPlane, redis: Redis
) -> None:
    waiting(busy)
    wake()
    plane.requests.get_nowait()
    redis.delete(trigger.KEY)  # Ten seconds later.
    reconcile()
    work_off(redis)
    assert len(plane.asked) == 2


def test_losing_redis_neither_loses_nor_repeats_a_wake(
    busy: Organization, plane: ControlPlane, redis: Redis
) -> None:
    waiting(busy, 2)
    dispatch.dispatch_jobs()
    redis.flushdb()
    reconcile()
    work_off(redis)
    assert len(plane.asked) == 2
    redis.flushdb()
    reconcile()
    work_off(redis)
    assert len(plane.asked) == 2


def test_a_wake_that_runpod_took_without_an_answer_is_not_made_twice(
    busy: Organization, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runpod, "TIMEOUT_SECONDS", 0.2)
    waiting(busy)
    plane.late.set()
    wake()
    wake()
    assert len(plane.asked) == 1


def test_many_dispatchers_call_for_one_round_and_it_comes_before_webhooks(
    busy: Organization, plane: ControlPlane, redis: Redis
) -> None:
    factories.delivery(factories.webhook(busy))
    waiting(busy, 3)
    for _ in range(4):
        dispatch.dispatch_jobs()
    entries = [rq_id for rq_id in outbound_queue(redis).job_ids if rq_id.startswith("wake-")]
    assert entries == outbound_queue(redis).job_ids[:1]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_rounds_at_once_make_no_wake_more(plane: ControlPlane) -> None:
    waiting(factories.organization("Busy", plan="scale"), 3)
    together = threading.Barrier(4)

    def reconcile_workers() -> None:
        together.wait()
        wake()
        connection.close()

    threads = [threading.Thread(target=reconcile_workers) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(plane.asked) == 3


def test_runpod_has_a_rest_after_it_was_asked_for_workers(
    busy: Organization, plane: ControlPlane, redis: Redis
) -> None:
    waiting(busy)
    dispatch.dispatch_jobs()
    work_off(redis)
    waiting(busy)
    dispatch.dispatch_jobs()
    assert outbound_queue(redis).is_empty()
    assert 0 < redis.pttl(trigger.KEY) <= trigger.PAUSE_SECONDS * 1000


def test_a_round_that_had_nothing_to_do_leaves_the_bell_free(
    busy: Organization, plane: ControlPlane, redis: Redis
) -> None:
    reconcile()
    work_off(redis)
    waiting(busy)
    dispatch.dispatch_jobs()
    work_off(redis)
    assert len(plane.asked) == 1


TROUBLE = {
    "the key is refused": {"trouble": 401},
    "too many requests": {"trouble": 429},
    "an error": {"trouble": 500},
    "a redirect": {"trouble": 302},
    "more than anybody reads": {"nonsense": b" " * 70_000},
    "no JSON": {"nonsense": b"<html>"},
    "another JSON": {"nonsense": b'{"jobs": {"inQueue": "many"}, "workers": []}'},
}


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_when_runpod_refuses_the_job_waits_and_the_wake_is_made_later(
    busy: Organization,
    plane: ControlPlane,
    redis: Redis,
    trouble: dict[str, object],
    settings: Settings,
    client: APIClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name, value in trouble.items():
        setattr(plane, name, value)
    (job,) = waiting(busy)
    dispatch.dispatch_jobs()
    work_off(redis)
    job.refresh_from_db()
    assert (job.status, plane.asked) == ("queued", [])
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["details"]["runpod"]["ok"]) == (200, False)
    assert value_of(scrape(settings, client), 'avatar_runpod_wakes_total{outcome="failed"}') == 1
    assert KEY not in caplog.text + ready.content.decode()
    for name in trouble:
        setattr(plane, name, None)
    redis.delete(trigger.KEY)
    reconcile()
    work_off(redis)
    assert len(plane.asked) == 1


def test_when_runpod_is_away_the_job_waits(
    busy: Organization, plane: ControlPlane, redis: Redis, settings: Settings
) -> None:
    settings.RUNPOD_BASE_URL = "http://127.0.0.1:1"
    (job,) = waiting(busy)
    dispatch.dispatch_jobs()
    work_off(redis)
    job.refresh_from_db()
    assert job.status == "queued"
    assert redis.get(trigger.KEY) == b"resting"


def test_when_runpod_is_silent_nobody_waits_long_and_the_wake_is_made_later(
    busy: Organization, plane: ControlPlane, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runpod, "TIMEOUT_SECONDS", 0.2)
    waiting(busy)
    plane.silent.set()
    wake()
    plane.silent.clear()
    assert (plane.looks, plane.asked) == (1, [])
    wake()
    assert len(plane.asked) == 1


def test_readiness_and_metrics_tell_what_was_last_seen_and_never_ask(
    busy: Organization, plane: ControlPlane, settings: Settings, client: APIClient
) -> None:
    (job,) = waiting(busy)
    wake()
    plane.take()
    begin(job)
    wake()
    looks = plane.looks
    detail = client.get("/readyz").json()["details"]["runpod"]
    text = scrape(settings, client)
    assert plane.looks == looks
    assert (detail["ok"], detail["in_queue"], detail["in_progress"]) == (True, 0, 1)
    assert detail["workers"]["running"] == 1
    assert 0 <= detail["age_seconds"] < 10
    assert value_of(text, "avatar_runpod_up") == 1
    assert value_of(text, 'avatar_runpod_requests{state="in_progress"}') == 1
    assert value_of(text, 'avatar_runpod_workers{state="running"}') == 1
    assert value_of(text, 'avatar_runpod_wakes_total{outcome="made"}') == 1


def test_readiness_says_when_nobody_has_looked(plane: ControlPlane, db: None, client: APIClient) -> None:
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["details"]["runpod"]["ok"]) == (200, False)


def test_a_reading_of_another_version_holds_up_no_wake(
    busy: Organization, plane: ControlPlane, redis: Redis
) -> None:
    redis.set(status.KEY, b'{"at": 1, "health": {"queued": 1}, "weather": "fine"}')
    waiting(busy)
    wake()
    assert len(plane.asked) == 1


def scrape(settings: Settings, client: APIClient) -> str:
    settings.METRICS_TOKEN = "scrape-me"
    return client.get("/metrics", HTTP_AUTHORIZATION="Bearer scrape-me").content.decode()


def value_of(text: str, sample: str) -> float:
    return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{sample} "))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"RUNPOD_API_KEY": ""}, "jobs.E003"),
        ({"RUNPOD_API_KEY": "a key\n"}, "jobs.E003"),
        ({"RUNPOD_ENDPOINT_ID": "https://api.runpod.ai/v2/abc"}, "jobs.E002"),
        ({"RUNPOD_MAX_WORKERS": 0}, "jobs.E004"),
        ({"RUNPOD_BASE_URL": "http://api.runpod.ai"}, "jobs.E005"),
    ],
)
def test_half_a_configuration_is_refused(settings: Settings, changes: dict[str, object], code: str) -> None:
    good = {"PRODUCTION": True, "RUNPOD_ENDPOINT_ID": ENDPOINT_ID, "RUNPOD_API_KEY": KEY}
    for name, value in (good | changes).items():
        setattr(settings, name, value)
    found = [message.id for message in run_checks() if str(message.id).startswith("jobs.E")]
    assert found == [code]
