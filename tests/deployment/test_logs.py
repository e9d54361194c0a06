import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.test import APIClient

from avatar_api.common import problems
from gpu_worker.common import logs
from gpu_worker.contract.spec import ReportKind
from jobs import tasks
from tests import factories
from tests.deployment.journey import REQUEST, Commit, travel
from tests.jobs.clients import keyed
from tests.jobs.reports import dispatched, report

SECRET_LINK = "/v1/files/eyJrZXkiOiJzZWNyZXQifQ:signature"


@pytest.fixture
def lines() -> Iterator[StringIO]:
    """What every logger writes, as production writes it."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


@contextmanager
def loggers_at(level: int) -> Iterator[None]:
    root = logging.getLogger()
    before, root.level = root.level, level
    yield
    root.setLevel(before)


def read(stream: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_what_is_bound_is_told_by_every_line_inside_and_by_none_after(lines: StringIO) -> None:
    log = logging.getLogger("test")
    with logs.bound(job="job_1", attempt=2):
        logs.bind(window=3)
        log.warning("inside")
    log.warning("outside")

    inside, outside = read(lines)
    assert {"job": "job_1", "attempt": 2, "window": 3}.items() <= inside.items()
    assert outside.keys() == {"time", "level", "logger", "message"}


def test_an_exception_is_one_line(lines: StringIO) -> None:
    try:
        raise ValueError("it\nbroke")
    except ValueError:
        logging.getLogger("test").exception("a step failed")

    (line,) = read(lines)
    assert "ValueError: it\nbroke" in str(line["exception"])


@pytest.mark.django_db
@pytest.mark.usefixtures("redis")
def test_a_request_is_one_line_with_its_ids_and_route(lines: StringIO) -> None:
    organization = factories.organization("Acme")
    answer = keyed(factories.key(organization)).get("/v1/jobs/job_none", HTTP_X_REQUEST_ID="mine-1")

    (line,) = [line for line in read(lines) if line["logger"] == "avatar_api.common.observation"]
    assert answer.status_code == line["status"] == 404
    assert line["route"] == "v1/jobs/<str:job_id>"
    assert line["request"] == "mine-1"
    assert line["organization"] == organization.id


@pytest.mark.django_db
def test_neither_a_signed_link_nor_a_key_reaches_the_log(lines: StringIO) -> None:
    APIClient().get(SECRET_LINK, HTTP_AUTHORIZATION="Bearer av_live_verysecret")

    assert "signature" not in lines.getvalue()
    assert "verysecret" not in lines.getvalue()


def broken(request: HttpRequest, token: str) -> HttpResponse:
    raise RuntimeError("a fault of ours")


urlpatterns = [path("v1/files/<str:token>", broken)]
handler500 = problems.server_error


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_a_request_that_fails_is_told_by_its_route(lines: StringIO) -> None:
    APIClient(raise_request_exception=False).get(SECRET_LINK)

    (line,) = [line for line in read(lines) if line["logger"] == "django.request"]
    assert line["message"] == "a request to v1/files/<str:token> failed"
    assert "RuntimeError: a fault of ours" in str(line["exception"])
    assert "signature" not in lines.getvalue()


@pytest.mark.django_db
@pytest.mark.usefixtures("redis", "store")
def test_what_a_report_causes_tells_job_and_attempt(lines: StringIO) -> None:
    job = dispatched(factories.job(factories.organization("Acme")))
    forged = report(job, ReportKind.STARTED) | {"token": "another"}

    tasks.record(forged)

    assert {"job": job.id, "attempt": job.attempt}.items() <= read(lines)[-1].items()


@pytest.mark.django_db
@pytest.mark.usefixtures("redis", "store")
def test_a_job_can_be_followed_from_its_request_to_its_last_window(
    lines: StringIO, tmp_path: Path, django_capture_on_commit_callbacks: Commit
) -> None:
    organization = factories.organization("Acme")
    with loggers_at(logging.INFO):
        job = travel(organization, tmp_path / "worker", django_capture_on_commit_callbacks)
    assert job.status == "succeeded"

    followed = [line for line in read(lines) if line.get("job") == job.id]
    ids = {"request": REQUEST, "organization": organization.id}
    assert all(ids.items() <= line.items() for line in followed)
    told = {(line["logger"], line["message"], line.get("attempt")) for line in followed}
    assert {
        ("avatar_api.common.observation", "POST v1/jobs 202", None),
        ("gpu_worker.rendering.attempt", "window 1 of 2 is saved", 1),
        ("gpu_worker.rendering.attempt", "window 2 of 2 is saved", 1),
        ("jobs.tasks", "window, windows done: 2", 1),
        ("jobs.tasks", "succeeded, windows done: 2", 1),
    } <= told


@pytest.mark.django_db
@pytest.mark.usefixtures("redis", "store")
def test_the_log_of_a_journey_holds_no_secret_and_nothing_of_a_person(
    lines: StringIO, tmp_path: Path, django_capture_on_commit_callbacks: Commit
) -> None:
    organization = factories.organization("Acme")
    with loggers_at(logging.DEBUG):
        job = travel(organization, tmp_path / "worker", django_capture_on_commit_callbacks)

    written = lines.getvalue()
    for secret in ("av_test_", job.token_hash, "Acme", "A person is talking", "127.0.0.1", "token"):
        assert secret not in written
