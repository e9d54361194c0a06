import re
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from accounts import rate_limits
from accounts.models import Organization
from gpu_worker.contract import coordination
from gpu_worker.contract.coordination import WorkerFacts
from gpu_worker.contract.spec import ReportKind
from jobs import tasks
from jobs.lifecycle import transitions
from jobs.metrics.page import of_deployment
from jobs.operations import periodic
from tests import factories
from tests.deployment.production import COMPLETE, run
from tests.jobs.reports import VIDEO, dispatched, report

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


def test_what_has_ended_is_counted_once_with_what_it_took(
    settings: Settings, organization: Organization
) -> None:
    for fate in (transitions.fail, transitions.succeed):
        job = dispatched(factories.job(organization, livemode=True, engine="infinitetalk"))
        transitions.start(job.id, 1)
        for _ in range(2):  # A report may be repeated.
            if fate is transitions.fail:
                transitions.fail(job.id, "out_of_memory", "", attempt=1, gpu_seconds=3.0)
            else:
                transitions.succeed(job.id, 1, VIDEO, {}, 5.0)
    samples = scrape(settings)

    labels = {"engine": "infinitetalk", "preset": "fast", "mode": "live"}
    assert value(samples, "avatar_jobs_ended_total", state="failed", code="out_of_memory", **labels) == 1
    assert value(samples, "avatar_jobs_ended_total", state="succeeded", code="", **labels) == 1
    assert value(samples, "avatar_gpu_seconds_total", organization=organization.id) == 8.0
    assert value(samples, "avatar_video_seconds_total", organization=organization.id) == 4.0
    assert value(samples, "avatar_charged_usd_total", organization=organization.id) == 0.1


def test_each_queue_tells_its_depth_and_its_workers(settings: Settings) -> None:
    samples = scrape(settings)

    for queue in ("render-gpu", "render-cpu", "reports", "outbound", "speech-cpu"):
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


def test_what_control_workers_count_is_told_by_the_web(
    settings: Settings, store: Path, organization: Organization, django_capture_on_commit_callbacks: Any
) -> None:
    with time_machine.travel(timezone.now() - timedelta(seconds=42)):
        job = dispatched(factories.job(organization))
    with django_capture_on_commit_callbacks(execute=True):
        tasks.record(report(job, ReportKind.STARTED, gpu_seconds=0.0))
        for _ in range(2):  # A report may be repeated.
            tasks.record(report(job, ReportKind.WINDOW, windows_done=1, gpu_seconds=7.0))
    periodic.reconcile_once()
    samples = scrape(settings)

    waited = {"engine": "preview", "mode": "test"}
    assert value(samples, "avatar_job_wait_seconds_count", **waited) == 1
    assert 42 <= value(samples, "avatar_job_wait_seconds_sum", **waited) < 60
    window = {"engine": "preview", "preset": "fast", "resolution": "480p"}
    assert value(samples, "avatar_window_seconds_sum", **window) == 7.0
    assert value(samples, "avatar_window_seconds_bucket", le="5.0", **window) == 0
    assert value(samples, "avatar_window_seconds_bucket", le="10.0", **window) == 1
    assert value(samples, "avatar_window_seconds_bucket", le="+Inf", **window) == 1
    assert time.time() - value(samples, "avatar_repair_last_round_timestamp_seconds") < 30


def test_a_dead_repair_shows_by_a_round_that_never_was(settings: Settings) -> None:
    assert value(scrape(settings), "avatar_repair_last_round_timestamp_seconds") == 0


def test_a_render_worker_shows_its_memory_and_its_start(settings: Settings, redis: Redis) -> None:
    facts = WorkerFacts(
        name="render-gpu-1",
        engine="infinitetalk",
        device="NVIDIA L40S",
        load_seconds=31.5,
        loaded_bytes=17 * 10**9,
        cold_start_seconds=48.0,
        vram_used_bytes=40 * 10**9,
        vram_total_bytes=48 * 10**9,
        vram_peak_bytes=41 * 10**9,
        utilisation=0.97,
        uncompiled_calls=40,
        storage_errors=2,
        render_seconds=600.0,
    )
    coordination.write_worker(redis, facts)
    coordination.write_worker(redis, replace(facts, name="render-cpu-1", device="cpu", vram_used_bytes=None))
    samples = scrape(settings)

    gpu = {"worker": "render-gpu-1", "engine": "infinitetalk", "device": "NVIDIA L40S"}
    assert value(samples, "avatar_worker_cold_start_seconds", **gpu) == 48.0
    assert value(samples, "avatar_worker_utilisation", **gpu) == 0.97
    assert value(samples, "avatar_worker_uncompiled_calls", **gpu) == 40
    assert value(samples, "avatar_worker_storage_errors_total", **gpu) == 2
    workers = {dict(labels)["worker"] for name, labels in samples if name == "avatar_worker_vram_used_bytes"}
    assert workers == {"render-gpu-1"}


def test_a_request_over_its_rate_is_counted(settings: Settings) -> None:
    before = scrape(settings).get(("avatar_rate_limited_total", frozenset({("policy", "read")})), 0)
    for _ in range(3):
        rate_limits.hit("read", 1, "somebody")

    assert value(scrape(settings), "avatar_rate_limited_total", policy="read") == before + 2


def test_the_room_on_this_hosts_disks_is_told(settings: Settings, store: Path) -> None:
    store.mkdir()
    samples = scrape(settings)

    for folder in ("uploads", "store"):
        assert (
            0
            < value(samples, "avatar_disk_free_bytes", folder=folder)
            <= value(samples, "avatar_disk_size_bytes", folder=folder)
        )


def test_processes_of_one_server_tell_the_sum_of_what_they_count(tmp_path: Path) -> None:
    environment = COMPLETE | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    count = (
        "from avatar_api.common.observation import requests_total as r; r.labels('GET', 'v1/me', 200).inc()"
    )
    tell = "from jobs.metrics.page import *; print(generate_latest(of_processes()).decode())"
    for program in (count, count):
        run("-c", f"import django; django.setup(); {program}", environment=environment)
    told = run("-c", f"import django; django.setup(); {tell}", environment=environment)

    assert 'avatar_http_requests_total{method="GET",route="v1/me",status="200"} 2.0' in told.stdout, (
        told.stderr
    )


def test_a_scrape_costs_the_same_however_many_jobs_have_ended(organization: Organization) -> None:
    """The plan of each query, as with a table so large that a scan of it would show."""
    factories.ended_jobs(organization, 3000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
    with CaptureQueriesContext(connection) as captured:
        list(of_deployment().collect())
    jobs = [query["sql"] for query in captured if 'FROM "jobs_job"' in query["sql"]]
    assert jobs
    for sql in jobs:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert re.search(r"Scan (using|on) job_(waiting|processing)", plan), plan
