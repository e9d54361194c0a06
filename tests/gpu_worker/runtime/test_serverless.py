"""The worker under RunPod's own SDK, against a control plane on loopback."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from avatar_api.embedded.valkey import Valkey
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.spec import ReportKind
from tests.gpu_worker import runpod_plane
from tests.gpu_worker.playing_control import Control, wait_until
from tests.gpu_worker.runpod_plane import ControlPlane
from tests.gpu_worker.shared_models import tiny_models
from tests.gpu_worker.tiny_models import SIZE

pytest.importorskip("runpod")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory)


@pytest.fixture
def control(valkey: Valkey, tmp_path: Path) -> Control:
    return Control(valkey.url, tmp_path / "control", EngineName.INFINITETALK)


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with runpod_plane.running() as plane:
        yield plane


@contextmanager
def container(control: Control, models: Path, **environment: str) -> "Iterator[subprocess.Popen[bytes]]":
    """startup.sh with the environment of a container."""
    given = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "REDIS_URL": control.redis_url,
        "STORAGE_DIR": str(control.folder / "store"),
        "TMPDIR": str(control.folder),
        "MODEL_STORAGE_PATH": str(models),
        "INFINITETALK_SIZE": f"{SIZE.height},{SIZE.width}",
        "OMP_NUM_THREADS": "1",
    }
    with (control.folder / "container.log").open("wb") as log:
        process = subprocess.Popen(
            [ROOT / "gpu_worker" / "startup.sh"], env=given | environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_a_wake_renders_what_is_queued_and_sigterm_hands_back(
    control: Control, models: Path, plane: ControlPlane
) -> None:
    first = control.send(control.spec(1, seconds=1.0))
    with container(control, models, **plane.environment) as process:
        plane.run("wake-1", seconds=60)
        wait_until(lambda: "wake-1" in plane.answers, "the answer to the wake", 120)
        assert plane.answers["wake-1"]["output"]["attempts"] == 1
        control.wait_for(ReportKind.SUCCEEDED)
        assert control.storage.exists(first.output_key)

        plane.run("wake-2", seconds=-1)
        wait_until(lambda: "wake-2" in plane.answers, "the refusal")
        assert "seconds must be" in plane.answers["wake-2"]["error"]

        control.forget_reports()
        control.send(control.spec(2, seconds=60.0))
        plane.run("wake-3")
        control.wait_for(ReportKind.STARTED)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    control.wait_for(ReportKind.HANDED_BACK)


def test_without_models_the_container_ends_for_good(
    control: Control, plane: ControlPlane, tmp_path: Path
) -> None:
    with container(control, tmp_path, **plane.environment) as process:
        assert process.wait() == 78
    assert plane.polls == 0
