"""The admin's front page: its numbers, and whose they are."""

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Organization
from tests import factories
from tests.accounts.conftest import make_person
from tests.jobs.query_plans import rows_read

pytestmark = pytest.mark.django_db

DONE = {"livemode": True, "engine": "infinitetalk", "num_frames": 250, "gpu_seconds": 7200.0, "cost_usd": 3}


@pytest.fixture
def operator(db: None) -> Client:
    return signed_in("ops@example.com", is_superuser=True)


def signed_in(email: str, organization: Organization | None = None, **fields: Any) -> Client:
    client = Client()
    client.force_login(make_person(email, organization, is_staff=True, **fields))
    return client


def charts(client: Client, query: str = "") -> dict[str, dict[str, list[Any]]]:
    """By title, the labels and the values of each line or kind of bar."""
    page = client.get(f"/admin/{query}").content.decode()
    found = re.findall(r'<canvas [^>]*aria-label="(.*?)"[^>]*data-value="(.*?)"', page)
    told = {unescape(title): json.loads(unescape(data)) for title, data in found}
    return {
        title: {"labels": data["labels"]} | {each["label"]: each["data"] for each in data["datasets"]}
        for title, data in told.items()
    }


def rows(client: Client, query: str = "") -> list[list[str]]:
    page = client.get(f"/admin/{query}").content.decode()
    found = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)]
    return [row for row in found if row]


@time_machine.travel("2026-11-20T12:00Z", tick=False)
def test_each_day_tells_what_became_of_its_jobs_and_how_long_they_waited(
    operator: Client, acme: Organization
) -> None:
    yesterday = timezone.now() - timedelta(days=1)
    waited = [{"created_at": yesterday, "started_at": yesterday + timedelta(seconds=s)} for s in (2, 4, 6)]
    for times in waited:
        factories.ended_jobs(acme, 1, **DONE | times)
    factories.ended_jobs(acme, 1, **DONE | {"status": "failed", "created_at": yesterday, "started_at": None})
    factories.job(acme, livemode=True)
    found = charts(operator)

    days = found["Jobs by day"]
    assert len(days["labels"]) == 30
    assert days["labels"][-2:] == ["19 Nov", "20 Nov"]
    assert [days[state][-2:] for state in ("Succeeded", "Failed", "Canceled", "Open")] == [
        [3, 0],
        [1, 0],
        [0, 0],
        [0, 1],
    ]
    assert found["Seconds until a worker begins"]["Half of them"][-3:] == [None, 4.0, None]
    assert found["Seconds until a worker begins"]["95 %"][-2] == 5.8
    assert found["Percent that succeeded"]["Succeeded"][-3:] == [None, 75.0, None]


def test_an_operator_sees_what_each_organization_took_cost_and_paid(
    operator: Client, acme: Organization, initech: Organization, settings: Settings
) -> None:
    settings.GPU_USD_PER_SECOND = 0.001
    factories.ended_jobs(acme, 2, **DONE)
    factories.ended_jobs(initech, 1, **DONE)
    found = charts(operator)

    assert found["GPU hours by organization"] == {"labels": ["Acme", "Initech"], "GPU hours": [4.0, 2.0]}
    assert found["USD by organization"]["Charged"] == [6.0, 3.0]
    assert found["USD by organization"]["GPU cost"] == [14.4, 7.2]
    assert rows(operator)[0] == ["Acme", "2", "100.0 %", "0.3 min", "4.0 h", "$6.00", "$14.40"]


def test_staff_see_their_own_jobs_and_not_what_gpus_cost(acme: Organization, initech: Organization) -> None:
    factories.ended_jobs(acme, 2, **DONE)
    factories.ended_jobs(initech, 5, **DONE)
    olga = signed_in("olga@example.com", acme)

    assert sum(charts(olga)["Jobs by day"]["Succeeded"]) == 2
    assert rows(olga) == [["Acme", "2", "100.0 %", "0.3 min", "4.0 h", "$6.00"]]
    page = olga.get("/admin/").content.decode()
    assert "Initech" not in page
    assert "GPU cost" not in page


def test_modes_are_told_apart_and_what_there_is_comes_first(operator: Client, acme: Organization) -> None:
    factories.ended_jobs(acme, 3)
    assert sum(charts(operator)["Jobs by day"]["Succeeded"]) == 3
    factories.ended_jobs(acme, 1, **DONE)

    assert sum(charts(operator)["Jobs by day"]["Succeeded"]) == 1
    assert sum(charts(operator, "?mode=test")["Jobs by day"]["Succeeded"]) == 3


@pytest.mark.parametrize("organization", [None, "member"])
def test_without_jobs_it_says_so(organization: str | None, acme: Organization) -> None:
    somebody = signed_in("new@example.com", acme if organization else None)
    page = somebody.get("/admin/").content.decode()

    assert "No jobs were made in live mode in the last 30 days." in page
    assert "<canvas" not in page


def test_what_is_older_costs_nothing(operator: Client, acme: Organization) -> None:
    """The rows of the last weeks are found by an index; others aren't read."""
    factories.ended_jobs(acme, 2, **DONE)
    factories.ended_jobs(acme, 3000, created_at=timezone.now() - timedelta(days=90), **DONE)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
    with CaptureQueriesContext(connection) as captured:
        read = rows_read(lambda: operator.get("/admin/"))

    assert sum('FROM "jobs_job"' in query["sql"] and "EXPLAIN" not in query["sql"] for query in captured) <= 7
    assert read < 300
