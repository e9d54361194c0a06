from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import Organization
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

TOKEN = "scrape-me"


@pytest.fixture
def organization() -> Organization:
    return factories.organization("Acme")


def scrape(settings: Settings) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    settings.METRICS_TOKEN = TOKEN
    text = APIClient().get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").content.decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: dict, name: str, **labels: str) -> float:  # type: ignore[type-arg]
    return samples[name, frozenset(labels.items())]


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer other", TOKEN])
def test_the_page_is_for_those_who_know_the_token(settings: Settings, given: str) -> None:
    settings.METRICS_TOKEN = TOKEN

    assert APIClient().get("/metrics", HTTP_AUTHORIZATION=given).status_code == 404


def test_without_a_token_set_there_is_no_page(settings: Settings) -> None:
    settings.METRICS_TOKEN = ""

    assert APIClient().get("/metrics", HTTP_AUTHORIZATION="Bearer ").status_code == 404


def test_jobs_are_counted_and_the_oldest_that_waits_is_told(
    settings: Settings, organization: Organization
) -> None:
    with time_machine.travel(timezone.now() - timedelta(minutes=10)):
        job = factories.job(organization)
    samples = scrape(settings)

    labels = {"state": "queued", "engine": job.engine, "preset": job.preset, "mode": "test"}
    assert value(samples, "avatar_jobs", **labels) == 1
    assert value(samples, "avatar_jobs_waiting", queue="render-cpu") == 1
    assert 600 <= value(samples, "avatar_jobs_waiting_oldest_seconds", queue="render-cpu") < 630
    assert value(samples, "avatar_gpu_seconds", organization=organization.id) == 0


def test_each_queue_tells_its_depth_and_its_workers(settings: Settings) -> None:
    samples = scrape(settings)

    for queue in ("render-gpu", "render-cpu", "reports", "outbound"):
        assert value(samples, "avatar_queue_depth", queue=queue) == 0
        assert value(samples, "avatar_workers", queue=queue) == 0


def test_requests_are_counted_by_route_and_never_by_path(settings: Settings) -> None:
    APIClient().get("/v1/jobs/job_someones")
    APIClient().get("/nothing/here")
    names = [dict(labels) for name, labels in scrape(settings) if name == "avatar_http_requests_total"]

    assert {"method": "GET", "route": "v1/jobs/<str:job_id>", "status": "401"} in names
    assert {"method": "GET", "route": "unknown", "status": "404"} in names
    assert not any("someones" in label["route"] for label in names)


def test_what_the_database_says_is_told_while_redis_is_away(
    settings: Settings, organization: Organization
) -> None:
    factories.job(organization)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    samples = scrape(settings)

    assert value(samples, "avatar_redis_up") == 0
    assert value(samples, "avatar_jobs_waiting", queue="render-cpu") == 1
