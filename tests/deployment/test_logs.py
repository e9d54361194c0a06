import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from rest_framework.test import APIClient

from gpu_worker.contract import logs
from gpu_worker.contract.spec import ReportKind
from jobs import tasks
from tests import factories
from tests.jobs.clients import keyed
from tests.jobs.reports import report, rung

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
    APIClient().get(SECRET_LINK, HTTP_AUTHORIZATION="Bearer ak_live_verysecret")

    assert "signature" not in lines.getvalue()
    assert "verysecret" not in lines.getvalue()


@pytest.mark.django_db
@pytest.mark.usefixtures("redis", "store")
def test_what_a_report_causes_tells_job_and_attempt(lines: StringIO) -> None:
    job = rung(factories.job(factories.organization("Acme")))
    forged = report(job, ReportKind.STARTED) | {"token": "another"}

    tasks.record(forged)

    assert {"job": job.id, "attempt": job.attempt}.items() <= read(lines)[-1].items()
