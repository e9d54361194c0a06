"""Addresses of files, whatever is in them and asked of them, are answered without a fault of ours."""

from urllib.parse import quote

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.contract import storage_keys
from gpu_worker.contract.spec import ReportKind
from jobs.models import Job
from jobs.tasks import record
from tests import factories
from tests.jobs.reports import dispatched, report

pytestmark = pytest.mark.usefixtures("redis", "store")

VIDEO = bytes(range(256))
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60) | st.sampled_from(
    ["\0", "9" * 4400, "..", "%2e%2e"]
)
NUMBERS = st.sampled_from(["", "0", "-0", "255", "256", "9" * 4400, "٣", "1e3", " 1"])
RANGES = st.builds("{}={}-{}".format, st.sampled_from(["bytes", "Bytes", "lines", ""]), NUMBERS, NUMBERS)
METHODS = st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"])
some = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def address(acme: Organization, acme_client: APIClient) -> str:
    """Where the video of a finished job is."""
    job: Job = dispatched(factories.job(acme))
    prefix = storage_keys.attempt_prefix(acme.id, job.id, 1)
    default_storage.save(storage_keys.output_video(prefix), ContentFile(VIDEO))
    record(report(job, ReportKind.SUCCEEDED))
    found: str = acme_client.get(f"/v1/jobs/{job.id}").json()["output"]["url"]
    return found


@some
@given(method=METHODS, token=TEXT, body=st.binary(max_size=20))
def test_an_address_of_any_text_is_refused(db: None, method: str, token: str, body: bytes) -> None:
    answer = Client().generic(method, f"/v1/files/{quote(token, safe='')}", body)

    assert answer.status_code in (400, 404, 405)


@some
@given(at=st.integers(0, 400), letter=st.characters(codec="utf-8"))
def test_an_address_with_one_letter_changed_shows_nothing(address: str, at: int, letter: str) -> None:
    head, _, token = address.rpartition("/")
    at %= len(token)
    changed = f"{token[:at]}{letter}{token[at + 1 :]}"
    if changed == token:
        return
    answer = Client().get(f"{head}/{quote(changed, safe=':')}")

    assert answer.status_code in (400, 404)


@some
@given(asked=RANGES | st.lists(RANGES, max_size=3).map(",".join) | TEXT.filter(str.isprintable))
def test_any_range_is_answered_with_what_there_is_of_it(address: str, asked: str) -> None:
    answer = Client().get(address, headers={"range": asked})

    content = answer.getvalue()
    assert answer.status_code in (200, 206, 416)
    assert content in VIDEO
    if answer.status_code == 206:
        first, last = map(int, answer["Content-Range"].removeprefix("bytes ").split("/")[0].split("-"))
        assert content == VIDEO[first : last + 1]
