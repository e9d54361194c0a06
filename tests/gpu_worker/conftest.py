from collections.abc import Iterator
from pathlib import Path

import pytest

from avatar_api.embedded.valkey import Valkey
from gpu_worker.runtime.context import WorkerContext
from tests.gpu_worker.playing_control import Control, host_here


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server of the test's own, so that a test may take it away."""
    with Valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def control(valkey: Valkey, tmp_path: Path) -> Control:
    return Control(valkey.url, tmp_path / "control")


@pytest.fixture
def worker(control: Control) -> Iterator[WorkerContext]:
    with host_here(control) as host:
        yield host
