"""A live job on the real engine, from the request to the downloaded file: no part is played."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import httpx
import pytest

from avatar_api.embedded import Postgres, Valkey
from tests.e2e.conftest import Live, running_stack
from tests.gpu_worker.tiny_models import prepare_tiny_models
from tests.media_samples import tone, write_sound
from tests.s3_store import SECRET, S3Server

pytest.importorskip("nanio")

ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = ROOT / "samples" / "portrait.png"
JOB_SECONDS = 60


@pytest.fixture
def store(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def stack(store: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running_stack(tmp_path_factory.mktemp("stack"), **store.environment) as live:
        yield live


@contextmanager
def gpu_worker(stack: Live, store: S3Server, models: Path) -> Iterator[None]:
    """A container's start on tiny models, on a CPU; it ends when it is told to."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "REDIS_URL": Valkey(stack.state / "valkey").url,
        "MODEL_STORAGE_PATH": str(models),
        "INFINITETALK_SIZE": "64,96",
        "OMP_NUM_THREADS": "1",
        **store.environment,
    }
    with (stack.state / "gpu_worker.log").open("w") as log:
        worker = subprocess.Popen(
            [ROOT / "gpu_worker" / "startup.sh"], env=environment, stdout=log, stderr=log
        )
    try:
        yield
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()


def live_key(stack: Live) -> str:
    """What an operator mints, with `manage.py createapikey`."""
    command = ["manage.py", "createapikey", "--organization", "demo", "--mode", "live"]
    environment = os.environ | {"DATABASE_URL": Postgres(stack.state / "postgres").url}
    minted = subprocess.run(
        [sys.executable, *command], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return minted.stdout.strip()


def test_a_live_job_becomes_a_video_in_the_object_store(stack: Live, store: S3Server, tmp_path: Path) -> None:
    speech = write_sound(tmp_path / "speech.flac", tone(220, 3.5))
    files = {"image": PORTRAIT.read_bytes(), "audio": speech.read_bytes()}
    with gpu_worker(stack, store, prepare_tiny_models(tmp_path)):
        key = live_key(stack)
        answer = httpx.post(
            f"{stack.url}/v1/jobs",
            headers={"Authorization": f"Bearer {key}", "Prefer": f"wait={JOB_SECONDS}"},
            files=files,
            data={"resolution": "480p"},
            timeout=JOB_SECONDS + 10,
        )
        assert answer.status_code == 200, answer.text
    job = answer.json()
    assert job["status"] == "succeeded", job["error"]
    assert job["window"]["total"] == 2
    assert (job["receipt"]["engine"], job["receipt"]["precision"]) == ("infinitetalk", "fp8")

    url = job["output"]["url"]
    assert url.startswith(store.environment["R2_ENDPOINT_URL"])
    video = httpx.get(url)  # The address is signed: no key goes with it.
    assert (video.status_code, video.headers["content-type"]) == (200, "video/mp4")
    assert httpx.get(url.partition("?")[0]).status_code == 403
    with av.open(io.BytesIO(video.content)) as container:
        frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert frames == [(96, 64)] * 88  # 3.5 s at 25 frames a second, rounded up.

    logged = (stack.state / "gpu_worker.log").read_text() + (stack.state / "log").read_text()
    assert "Traceback" not in logged
    for secret in (SECRET, "Signature=", key):
        assert secret not in logged
