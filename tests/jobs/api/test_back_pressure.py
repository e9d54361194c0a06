"""When there is no room for more: answered with 503 and when to come back, and nothing is left behind."""

import errno
import io
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from django.db import InterfaceError, InternalError, OperationalError, connection
from django.test import Client
from environs import Env
from PIL import Image
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import IdempotencyClaim, Organization
from avatar_api.common import problems
from avatar_api.common.own_folder import own_folder
from avatar_api.common.transient_errors import NotDeletedError
from gpu_worker.common.object_store import storage_backend
from jobs.models import Job
from tests import factories
from tests.jobs.clients import form

ONCE = {"HTTP_IDEMPOTENCY_KEY": "once"}


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses this process whatever would make a file larger, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def noise() -> bytes:
    """A picture whose normalised copy is several times larger than itself."""
    pixels = np.random.default_rng(0).integers(0, 256, (320, 256, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=30)
    return buffer.getvalue()


def assert_nothing_is_left(store: Path) -> None:
    assert not Job.objects.exists()
    assert not IdempotencyClaim.objects.exists()
    assert [path for path in store.rglob("*") if path.is_file()] == []


def refused(response: Any) -> int:
    """The seconds after which the client may come back."""
    assert (response.status_code, response["Content-Type"]) == (503, "application/problem+json")
    body = response.json()
    assert (body["code"], body["retryable"]) == ("service_unavailable", True)
    return int(response["Retry-After"])


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def full_at(table: str) -> Iterator[None]:
    """Postgres refuses each new row of the table, saying what it says when its disk is full."""
    execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$"
    )
    execute(f"CREATE TRIGGER refusing BEFORE INSERT ON {table} EXECUTE FUNCTION refuse()")
    try:
        yield
    finally:
        execute("DROP FUNCTION refuse CASCADE")


class TestTooManyJobsOfAllTenants:
    @pytest.fixture(autouse=True)
    def _one_waits(self, initech: Organization, settings: Settings) -> None:
        settings.MAX_QUEUED_JOBS = 1
        factories.job(initech)

    def test_a_new_job_is_refused_before_its_files_are_looked_at(
        self, acme_client: APIClient, store: Path
    ) -> None:
        assert refused(acme_client.post("/v1/jobs", form(b"no image", b"no sound"))) == 30
        assert not store.exists()

    def test_so_is_a_retry(self, acme: Organization, acme_client: APIClient, store: Path) -> None:
        job = factories.job(acme)
        acme_client.post(f"/v1/jobs/{job.pk}/cancel")
        assert refused(acme_client.post(f"/v1/jobs/{job.pk}/retry")) == 30

    def test_an_estimate_is_made_all_the_same(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        assert acme_client.post("/v1/estimates", form(portrait, speech)).status_code == 200

    def test_one_that_was_made_before_is_found_by_its_key(
        self, acme_client: APIClient, portrait: bytes, speech: bytes, settings: Settings, store: Path
    ) -> None:
        settings.MAX_QUEUED_JOBS = 2
        first = acme_client.post("/v1/jobs", form(portrait, speech), **ONCE)
        again = acme_client.post("/v1/jobs", form(portrait, speech), **ONCE)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


class TestDiskFull:
    def test_while_the_upload_arrives(
        self, acme_client: APIClient, noise: bytes, speech: bytes, store: Path
    ) -> None:
        before = {*own_folder().iterdir()}
        with no_file_larger_than(len(noise) // 2):
            assert refused(acme_client.post("/v1/jobs", form(noise, speech), **ONCE)) == 5
        assert_nothing_is_left(store)
        assert {*own_folder().iterdir()} == before

    def test_while_the_copy_is_stored_and_the_same_request_passes_later(
        self, acme_client: APIClient, noise: bytes, speech: bytes, store: Path
    ) -> None:
        with no_file_larger_than(2 * len(noise)):
            assert refused(acme_client.post("/v1/jobs", form(noise, speech), **ONCE)) == 5
        assert_nothing_is_left(store)
        assert acme_client.post("/v1/jobs", form(noise, speech), **ONCE).status_code == 202

    def test_while_an_asset_arrives(self, acme_client: APIClient, noise: bytes, store: Path) -> None:
        body = {"content_type": "image/jpeg", "size_bytes": len(noise)}
        upload = acme_client.post("/v1/assets", body, format="json").json()["upload"]
        with no_file_larger_than(len(noise) // 2):
            response = acme_client.put(upload["url"], noise, content_type="image/jpeg")
            assert refused(response) == 5
        assert_nothing_is_left(store)
        assert acme_client.put(upload["url"], noise, content_type="image/jpeg").status_code == 204


def test_the_object_store_away(
    acme_client: APIClient,
    portrait: bytes,
    speech: bytes,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "R2_BUCKET": "bucket",
        "R2_ENDPOINT_URL": "http://127.0.0.1:9",
        "R2_ACCESS_KEY_ID": "id",
        "R2_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    settings.STORAGES = settings.STORAGES | {"default": storage_backend(Env(), Path())}
    assert refused(acme_client.post("/v1/jobs", form(portrait, speech), **ONCE)) == 5
    assert not Job.objects.exists()
    assert not IdempotencyClaim.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestDatabaseFullOrAway:
    def test_full_at_any_of_the_rows_of_a_job(
        self, acme_client: APIClient, portrait: bytes, speech: bytes, store: Path
    ) -> None:
        for table in ("jobs_idempotencyclaim", "jobs_job", "jobs_jobevent"):
            with full_at(table):
                assert refused(acme_client.post("/v1/jobs", form(portrait, speech), **ONCE)) == 5
            assert_nothing_is_left(store)

    def test_read_only(self, acme_client: APIClient, portrait: bytes, speech: bytes, store: Path) -> None:
        execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        assert refused(acme_client.post("/v1/jobs", form(portrait, speech), **ONCE)) == 5
        assert acme_client.get("/v1/jobs").status_code == 200
        connection.close()
        assert_nothing_is_left(store)

    def test_away_for_programs_and_for_people(
        self, acme_client: APIClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        browser = Client(raise_request_exception=False)
        browser.cookies["sessionid"] = "x" * 32
        connection.close()
        with monkeypatch.context() as patch:
            patch.setitem(connection.settings_dict, "HOST", "/nowhere")
            assert refused(acme_client.get("/v1/jobs")) == 5
            assert refused(browser.get("/admin/")) == 5
            connection.close()
        assert acme_client.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("no connection left"),
        InterfaceError("closed"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        ClientError({"Error": {"Code": "SlowDown"}}, "PutObject"),
        EndpointConnectionError(endpoint_url="https://store.example"),
        ReadTimeoutError(endpoint_url="https://store.example"),
        NotDeletedError("1 objects, the first with AccessDenied"),
    ],
)
def test_what_passes_is_told_from_a_fault_of_ours(error: Exception) -> None:
    problem = problems.translate(error)
    assert problem is not None
    assert (problem.code, problem.headers) == ("service_unavailable", {"Retry-After": "5"})


@pytest.mark.parametrize("error", [InternalError("broken"), OSError(errno.EACCES, "Permission denied")])
def test_a_fault_of_ours_is_none_that_passes(error: Exception) -> None:
    assert problems.translate(error) is None
