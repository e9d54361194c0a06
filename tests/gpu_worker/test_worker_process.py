"""The worker as a process: what it does to jobs when it, or Redis, is taken away."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from avatar_api.embedded.valkey import Valkey
from gpu_worker.contract import storage_keys
from tests.gpu_worker.playing_control import TOKEN, Control, WorkerProcess


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "valkey")
    with server:
        yield server


@pytest.fixture
def control(valkey: Valkey, tmp_path: Path) -> Control:
    return Control(valkey.url, tmp_path / "control")


def test_a_job_becomes_a_video_and_reports_in_order(control: Control) -> None:
    spec = control.send(control.spec())
    with WorkerProcess(control, "--burst") as worker:
        assert worker.wait() == 0

    reports = control.reports()
    assert [report.kind for report in reports] == ["started", "window", "window", "succeeded"]
    assert [report.windows_done for report in reports] == [0, 1, 2, 2]
    assert {report.token for report in reports} == {TOKEN}
    succeeded = reports[-1]
    assert succeeded.video is not None
    assert succeeded.receipt is not None
    assert (succeeded.video.num_frames, succeeded.video.fps) == (150, 25)
    assert succeeded.receipt["engine"] == "painted"
    assert [number for _, number in control.frames(spec)] == list(range(150))
    result = json.loads(Path(control.storage.path(storage_keys.result(spec.prefix))).read_text())
    assert result["video"]["sha256"] == succeeded.video.sha256
    assert worker.scratch_files == []
    assert TOKEN not in worker.log
