"""The worker with an S3 store, over real HTTP: what it sends, and what it does while the store is away."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile, File
from environs import Env
from storages.backends.s3 import S3Storage

from gpu_worker.common.object_store import storage_backend
from gpu_worker.contract import storage_keys
from gpu_worker.contract.spec import ReportKind
from tests.gpu_worker.playing_control import TOKEN, Control, WorkerProcess, wait_until
from tests.s3_store import SECRET, S3Server

pytest.importorskip("nanio")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def storage(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Storage]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    storage = S3Storage(**storage_backend(Env(), Path())["OPTIONS"])
    yield storage
    storage.connection.meta.client.close()


def test_a_job_is_rendered_through_s3_though_the_store_goes_away_for_a_while(
    control: Control, server: S3Server, storage: S3Storage
) -> None:
    control.storage = storage
    control.hold(1, 1)
    spec = control.send(control.spec())
    with WorkerProcess(control, "--burst", **server.environment) as worker:
        control.wait_at(1, 1)
        control.wait_for(ReportKind.WINDOW)
        server.__exit__()
        control.release(1, 1)
        wait_until(lambda: "save failed" in worker.log, "a try that fails")
        with server:
            assert worker.wait() == 0
            assert [number for _, number in control.frames(spec)] == list(range(150))
    assert control.wait_for(ReportKind.SUCCEEDED).video is not None
    assert SECRET not in worker.log
    assert TOKEN not in worker.log
    assert "Signature=" not in worker.log


@pytest.mark.parametrize("size", [1000, 9 * 2**20])
def test_uploads_carry_no_checksum_that_r2_would_refuse(storage: S3Storage, size: int) -> None:
    sent: list[dict[str, Any]] = []
    storage.connection.meta.client.meta.events.register(
        "before-send.s3", lambda request, **_: sent.append(dict(request.headers))
    )
    key = storage_keys.output_video("org/org_1/jobs/job_1/a1/")
    assert storage.save(key, ContentFile(bytes(size))) == key
    assert storage.size(key) == size
    assert sent
    names = {name.lower() for headers in sent for name in headers}
    assert not any(name.startswith("x-amz-checksum") or name == "x-amz-trailer" for name in names)
    assert b"aws-chunked" not in {headers.get("Content-Encoding") for headers in sent}


def test_a_large_file_passes_through_memory_in_pieces(storage: S3Storage, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(48 * 2**20)
    tracemalloc.start()
    with large.open("rb") as content:
        storage.save("large", File(content))
    with storage.open("large") as stored:
        assert stored.read(1) == b"\0"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 2**20
