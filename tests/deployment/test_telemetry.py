"""What leaves the house for Sentry and OpenTelemetry, as receivers on loopback get it."""

import gc
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gpu_worker.common import telemetry
from tests import factories
from tests.deployment.journey import REQUEST, Commit, travel
from tests.deployment.production import COMPLETE, run
from tests.jobs.loopback import Server, serving, status

NO_PACKAGES = "import sys; sys.modules['sentry_sdk'] = sys.modules['opentelemetry.sdk.trace.export'] = None; "
SET_UP = "from gpu_worker.common import telemetry, logs; telemetry.set_up('avatar-web'); "


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Where spans of this process go, for the time of a test."""
    exporter = InMemorySpanExporter()
    provider = telemetry.trace_to(SimpleSpanProcessor(exporter), "test")
    yield exporter
    provider.shutdown()
    telemetry._tracer = None
    # As long as it lives it starts threads in every forked process, which may then enter no namespace.
    del provider
    gc.collect()


@pytest.fixture
def receiver() -> Iterator[Server]:
    with serving(status(200)) as server:
        yield server


def address(receiver: Server) -> str:
    return f"http://127.0.0.1:{receiver.port}"


def request_of(receiver: Server) -> tuple[str, bytes]:
    """Path and body of the only request."""
    (request,) = receiver.requests
    head, _, body = request.partition(b"\r\n\r\n")
    encoding = re.search(rb"content-encoding: (\w+)", head.lower())
    # Sentry's client prefers brotli where that happens to be installed.
    decode = {b"gzip": "gzip", b"br": "brotli"}.get(encoding[1]) if encoding else None
    return head.split()[1].decode(), import_module(decode).decompress(body) if decode else body


@pytest.mark.django_db
@pytest.mark.usefixtures("redis", "store")
def test_a_trace_follows_a_job_from_its_request_to_its_render(
    spans: InMemorySpanExporter, tmp_path: Path, django_capture_on_commit_callbacks: Commit
) -> None:
    job = travel(factories.organization("Acme"), tmp_path / "worker", django_capture_on_commit_callbacks)
    found = spans.get_finished_spans()

    (request,) = [span for span in found if span.name == "POST v1/jobs"]
    assert request.attributes["http.response.status_code"] == 202
    children = [span for span in found if span.parent and span.parent.span_id == request.context.span_id]
    assert sorted({span.name for span in children}) == ["render", "report"]
    assert {span.context.trace_id for span in children} == {request.context.trace_id}
    (render,) = [span for span in children if span.name == "render"]
    ids = {"avatar.request": REQUEST, "avatar.job": job.id, "avatar.attempt": "1"}
    assert ids.items() <= render.attributes.items()
    assert render.attributes["preset"] == "fast"


def test_without_a_collector_nothing_is_traced() -> None:
    with telemetry.span("nothing"):
        assert telemetry.traceparent() == ""


def test_a_span_that_fails_tells_the_kind_of_error_and_not_its_text(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), telemetry.span("work"):
        raise ValueError("secret")
    (span,) = spans.get_finished_spans()

    assert span.status.description == "ValueError"
    assert not span.events


def test_a_collector_gets_the_spans_with_the_name_of_their_service(receiver: Server) -> None:
    program = SET_UP + "\nwith telemetry.span('work', preset='fast'): pass"
    done = run("-c", program, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": address(receiver)})
    assert done.returncode == 0, done.stderr

    path, body = request_of(receiver)
    assert path == "/v1/traces"
    (sent,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {"service.name": "avatar-web"}.items() <= attributes(sent.resource).items()
    assert [span.name for span in sent.scope_spans[0].spans] == ["work"]


def attributes(of: Any) -> dict[str, str]:
    return {item.key: item.value.string_value for item in of.attributes}


# What is secret comes from outside, because lines of the source are told, and are no secret.
FAILING = """
import logging, os
password = os.environ["PASSWORD"]
with logs.bound(job="job_1", attempt=2):
    try:
        raise RuntimeError(os.environ["TEXT"])
    except RuntimeError:
        logging.getLogger("test").exception("%s could not be reached", os.environ["ADDRESS"])
"""
SECRETS = {
    "PASSWORD": "of-a-variable",
    "TEXT": "GET https://user:pass@store.example/key?X-Amz-Signature=abc for olga@example.com "
    "with av_live_verysecret from 203.0.113.7\nDETAIL: a row of a person",
    "ADDRESS": "https://store.example/a-secret-path",
}


def test_sentry_gets_the_error_and_its_ids_and_nothing_secret_or_personal(receiver: Server) -> None:
    dsn = f"http://public@127.0.0.1:{receiver.port}/1"
    done = run("-c", SET_UP + FAILING, environment={"SENTRY_DSN": dsn, **SECRETS})
    assert done.returncode == 0, done.stderr

    _, envelope = request_of(receiver)
    body = envelope.decode()
    event = json.loads(body.splitlines()[-1])
    assert event["logentry"]["message"] == "%s could not be reached"
    assert event["tags"] == {"job": "job_1", "attempt": "2"}
    (error,) = event["exception"]["values"]
    assert error["type"] == "RuntimeError"
    assert error["value"].startswith("GET https://…store.example/key… for …")
    line = error["stacktrace"]["frames"][-1]
    assert line["function"] == "<module>"
    for secret in (
        "of-a-variable",
        "pass@",
        "Signature",
        "olga",
        "verysecret",
        "203.0.113.7",
        "a row",
        "a-secret",
    ):
        assert secret not in body


@pytest.mark.parametrize(
    ("program", "environment"),
    [
        ("import avatar_api.wsgi", {"SENTRY_DSN": "http://public@127.0.0.1:1/1"}),
        ("import avatar_api.wsgi", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}),
    ],
)
def test_a_process_that_lacks_the_packages_says_so_when_it_starts(
    program: str, environment: dict[str, str]
) -> None:
    done = run("-c", NO_PACKAGES + program, environment=COMPLETE | environment)

    assert done.returncode == 1
    assert "pip install --requirement requirements/telemetry.txt" in done.stderr.splitlines()[-1]
