"""docs/DEPLOYMENT.md from `createorganization` to the first live job, as it stands: no part is played.

The commands are cut out of the document and run by a shell. What a container would be is this machine, and
the hub has models so tiny that a CPU renders with them.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import psycopg
import pytest

from avatar_api.embedded import Postgres, Valkey
from tests.deployment.documents import commands_of_section
from tests.deployment.production import REPOSITORY
from tests.e2e.conftest import Live, running_stack
from tests.gpu_worker import tiny_hub
from tests.gpu_worker.fake_kernels import kernel_repos
from tests.gpu_worker.playing_control import wait_until
from tests.gpu_worker.tiny_models import tiny_repos
from tests.s3_store import SECRET, S3Server

pytest.importorskip("nanio")

SAMPLES = REPOSITORY / "samples"
GUIDE = REPOSITORY / "docs" / "DEPLOYMENT.md"
SECONDS = 600
# What differs from the operator's host: the name of the API, that nothing is in a container, and that a busy
# machine may need a second try.
HERE = """
python() { "$PYTHON" "$@"; }
docker() { while [ "$1" != python ]; do shift; done; "$@"; }
curl() {
    command curl --fail --show-error --retry 30 --retry-delay 1 "${@//https:\\/\\/api.example.com/$URL}"
}
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def stack(store: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running_stack(tmp_path_factory.mktemp("stack"), **store.environment) as live:
        yield live


def section(title: str, *, since: str = "") -> str:
    """The commands of a section of the guide, the first of which contains `since`."""
    lines = commands_of_section(GUIDE, title).splitlines()
    first = next(number for number, line in enumerate(lines) if since in line)
    return "\n".join(lines[first:])


def run(commands: str, **variables: str) -> str:
    """What the shell prints."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", HERE + commands],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHON": sys.executable} | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@contextmanager
def gpu_worker(stack: Live, store: S3Server, models: Path) -> Iterator[None]:
    """A container's start, on a CPU; it ends when it is told to."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "REDIS_URL": Valkey(stack.state / "valkey").url,
        "MODEL_STORAGE_PATH": str(models),
        "INFINITETALK_SIZE": "64,96",
        "OMP_NUM_THREADS": "1",
        **store.environment,
    }
    with (stack.state / "gpu_worker.log").open("a") as log:
        worker = subprocess.Popen(
            [REPOSITORY / "gpu_worker" / "startup.sh"], env=environment, stdout=log, stderr=log
        )
    try:
        yield
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()


def test_the_guide_leads_from_an_organization_to_its_first_live_video_and_on_to_turbo(
    stack: Live, store: S3Server, tmp_path: Path
) -> None:
    models, worker_log = tmp_path / "models", stack.state / "gpu_worker.log"
    control = {"DATABASE_URL": Postgres(stack.state / "postgres").url, "URL": stack.url}
    made = run(section("4. Web and control workers", since="createorganization"), **control)
    organization, password, test_key, readiness = made.splitlines()
    assert (organization[:4], test_key[:8], bool(password)) == ("org_", "av_test_", True)
    assert json.loads(readiness)["status"] == "ok"

    repos = tiny_repos(tmp_path / "hub") | kernel_repos(tmp_path / "kernels")
    with tiny_hub.running(repos) as hub:
        prepared = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "", "MODEL_STORAGE_PATH": str(models)}
        run(section("5. Models, once"), **prepared)

    with gpu_worker(stack, store, models):
        first, live_key = run(section("7. The first job") + "\necho; echo $KEY", **control).splitlines()
        job = ended(f"{stack.url}/v1/jobs/{json.loads(first)['id']}", live_key)
    assert job["status"] == "succeeded", job["error"]
    assert (job["livemode"], job["input"]["resolution"], job["input"]["preset"]) == (True, "720p", "fast")
    assert (job["receipt"]["engine"], job["receipt"]["precision"]) == ("infinitetalk", "fp8")
    is_a_video_that_needs_no_key(job["output"]["url"], store)

    with tiny_hub.running(repos) as hub:
        more = prepared | {"HF_ENDPOINT": hub.url}
        run("gpu_worker/init_storage.sh --models all --accept-licence", **more)
    offer_turbo_to_live_plans(stack)
    with gpu_worker(stack, store, models):
        wait_until(
            lambda: worker_log.read_text().count("renders with the engine") == 2,
            "the worker",
            seconds=SECONDS,
        )
        turbo = a_job_with_distilled_weights(stack, live_key)
    assert turbo["status"] == "succeeded", turbo["error"]
    assert (turbo["window"]["total"], turbo["output"]["duration_seconds"]) == (9, pytest.approx(9.44))
    playlist = httpx.get(turbo["stream_url"]).raise_for_status().text
    assert "#EXT-X-TARGETDURATION:2\n" in playlist
    assert playlist.count("#EXTINF:1.12,") == 8

    logged = worker_log.read_text() + (stack.state / "log").read_text()
    assert "Traceback" not in logged
    for secret in (SECRET, "Signature=", test_key, live_key, password):
        assert secret not in logged


def offer_turbo_to_live_plans(stack: Live) -> None:
    with psycopg.connect(Postgres(stack.state / "postgres").url) as database:
        database.execute("UPDATE accounts_plan SET presets = array_append(presets, 'turbo')")


def a_job_with_distilled_weights(stack: Live, key: str) -> dict[str, Any]:
    with (SAMPLES / "portrait.png").open("rb") as image, (SAMPLES / "speech.wav").open("rb") as audio:
        made = httpx.post(
            f"{stack.url}/v1/jobs",
            headers={"Authorization": f"Bearer {key}"},
            files={"image": image, "audio": audio},
            data={"preset": "turbo"},
            timeout=60,
        )
    assert made.status_code == 202, made.text
    return ended(f"{stack.url}/v1/jobs/{made.json()['id']}", key)


def ended(address: str, key: str) -> dict[str, Any]:
    """The job, which on a busy machine takes longer than its request waited."""

    def job() -> dict[str, Any] | None:
        shown = httpx.get(address, headers={"Authorization": f"Bearer {key}"}).raise_for_status().json()
        return shown if shown["finished_at"] else None

    return wait_until(job, "the video", seconds=SECONDS, pause=0.2)


def is_a_video_that_needs_no_key(url: str, store: S3Server) -> None:
    assert url.startswith(store.environment["R2_ENDPOINT_URL"])
    video = httpx.get(url)  # The address is signed.
    assert (video.status_code, video.headers["content-type"]) == (200, "video/mp4")
    assert httpx.get(url.partition("?")[0]).status_code == 403
    with av.open(io.BytesIO(video.content)) as container:
        frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert frames == [(96, 64)] * 236  # 9.42 s at 25 frames a second, rounded up.
