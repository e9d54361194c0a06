from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from environs import Env
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.common.object_store import folder_backend, storage_backend
from jobs.storage import objects
from tests import factories
from tests.jobs.clients import keyed, png, wav
from tests.s3_store import S3Server


@pytest.fixture
def acme(db: None) -> Organization:
    """The organization of alice and bob."""
    return factories.organization("Acme")


@pytest.fixture
def initech(db: None) -> Organization:
    """Charlie's organization, a stranger to Acme."""
    return factories.organization("Initech")


@pytest.fixture
def client() -> APIClient:
    return APIClient()


@pytest.fixture
def acme_client(acme: Organization) -> APIClient:
    """A program that holds a test key of Acme."""
    return keyed(factories.key(acme))


@pytest.fixture
def portrait() -> bytes:
    """A picture of 256 × 320 as PNG."""
    return png(256, 320)


@pytest.fixture
def speech() -> bytes:
    """Half a second of a tone as WAV, mono, 16 kHz."""
    return wav(0.5)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    pytest.importorskip("nanio")
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The bucket of an S3 server, over HTTP."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    settings.STORAGES = settings.STORAGES | {"default": storage_backend(Env(), Path())}
    objects.delete_prefix("")
    for upload in objects.unfinished_uploads():
        objects.abort(upload)
    yield
    default_storage.connection.meta.client.close()  # type: ignore[attr-defined]


@pytest.fixture(params=["folder", "bucket"])
def either_store(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> None:
    """Each store that a deployment may have."""
    if request.param == "bucket":
        request.getfixturevalue("bucket")
    else:
        settings.STORAGES = settings.STORAGES | {"default": folder_backend(tmp_path / "store")}
