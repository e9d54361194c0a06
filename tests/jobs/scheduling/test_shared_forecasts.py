"""What reading an open job costs: one forecast a moment for everybody, and no connection of its own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import Organization
from jobs.models import Job
from jobs.scheduling import moments
from jobs.scheduling.moments import Moments
from jobs.states import Status
from tests import factories

pytestmark = pytest.mark.usefixtures("redis", "store")


@pytest.fixture
def _long_moments(settings: Settings) -> None:
    settings.FORECAST_SECONDS = 600.0


@contextmanager
def forecasts() -> Iterator[list[str]]:
    """The queries for forecasts that were sent meanwhile."""
    sent: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield sent
    sent += [query["sql"] for query in captured if "jobs_virtualtime" in query["sql"]]


def read(client: APIClient, job: Job) -> dict:
    shown: dict = client.get(f"/v1/jobs/{job.pk}").json()
    return shown


@pytest.mark.usefixtures("_long_moments")
class TestWithinAMoment:
    def test_one_forecast_serves_all_reads_of_a_tenant(
        self, acme: Organization, acme_client: APIClient, redis: Redis
    ) -> None:
        jobs = [factories.job(acme) for _ in range(3)]
        read(acme_client, jobs[0])
        with forecasts() as sent:
            places = [read(acme_client, job)["queue_position"] for job in jobs for _ in range(5)]
            listed = acme_client.get("/v1/jobs").json()["data"]
        assert places == [1] * 5 + [2] * 5 + [3] * 5
        assert [job["queue_position"] for job in listed] == [3, 2, 1]
        assert sent == []

    def test_jobs_that_come_within_the_moment_wait_behind_the_tenants_others(
        self, acme: Organization, acme_client: APIClient, redis: Redis
    ) -> None:
        first = factories.job(acme)
        read(acme_client, first)
        with forecasts() as sent:
            factories.job(acme)
            factories.job(acme)
            listed = acme_client.get("/v1/jobs").json()["data"]
            last = factories.job(acme)
            assert read(acme_client, last)["queue_position"] == 4
            assert read(acme_client, first)["queue_position"] == 1
        assert [job["queue_position"] for job in listed] == [3, 2, 1]
        assert sent == []

    def test_a_job_that_has_moved_is_forecast_anew(self, acme: Organization, acme_client: APIClient) -> None:
        first = factories.job(acme)
        read(acme_client, first)
        second = factories.job(acme)
        assert read(acme_client, second)["queue_position"] == 2
        Job.objects.filter(pk=first.pk).update(status=Status.PROCESSING, attempt=1)
        assert read(acme_client, first)["queue_position"] is None
        assert read(acme_client, second)["queue_position"] == 1

    def test_tenants_share_none(
        self, acme: Organization, initech: Organization, acme_client: APIClient
    ) -> None:
        factories.job(initech)
        live = factories.job(acme, livemode=True)
        own = factories.job(acme)
        assert read(acme_client, own)["id"] == own.pk
        assert acme_client.get(f"/v1/jobs/{live.pk}").status_code == 404
        assert [job["id"] for job in acme_client.get("/v1/jobs").json()["data"]] == [own.pk]


def test_a_moment_later_it_is_computed_anew(
    acme: Organization, acme_client: APIClient, settings: Settings
) -> None:
    settings.FORECAST_SECONDS = 0.0
    job = factories.job(acme)
    with forecasts() as sent:
        for _ in range(3):
            read(acme_client, job)
    assert len(sent) == 3


def test_those_who_ask_at_once_wait_for_one_computation() -> None:
    shared, made, together = Moments[str, int](), [], Barrier(4)

    def ask() -> int:
        together.wait()
        return shared.get("a", 600.0, make=lambda: made.append(1) or len(made), fits=lambda value: True)

    with ThreadPoolExecutor(4) as threads:
        answers = [future.result() for future in [threads.submit(ask) for _ in range(4)]]
    assert (answers, made) == ([1] * 4, [1])


def test_what_took_long_serves_ten_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a process that computes slowly still has nine tenths of its time for answers."""
    clock = [100.0]
    monkeypatch.setattr(moments.time, "monotonic", lambda: clock[0])
    shared, made = Moments[str, float](), []

    def make() -> float:
        made.append(clock[0])
        clock[0] += 2.0
        return made[-1]

    for clock[0] in (100.0, 102.0, 119.0, 121.0):
        shared.get("a", 0.5, make, fits=lambda value: True)
    assert made == [100.0, 121.0]
