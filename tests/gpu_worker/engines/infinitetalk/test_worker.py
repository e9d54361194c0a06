"""The render worker with the real engine on a tiny checkpoint: killed, stopped, and yet the same video."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from avatar_api.embedded.valkey import Valkey
from gpu_worker import tasks
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.spec import RenderSpec, ReportKind
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine
from InfiniteTalk.sizes import Size
from tests.gpu_worker.playing_control import Control, WorkerProcess, host_here
from tests.gpu_worker.shared_models import tiny_models

SIZE = Size(32, 96)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory)


@pytest.fixture
def control(valkey: Valkey, tmp_path: Path) -> Iterator[Control]:
    """Renders in this process and in others must use as many threads, or sums differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Control(valkey.url, tmp_path / "control", EngineName.INFINITETALK)
    torch.set_num_threads(threads)


def start_worker(control: Control, models: Path) -> WorkerProcess:
    return WorkerProcess(
        control,
        "--queue",
        "render-gpu",
        module="tests.gpu_worker.unhurried_worker",
        MODEL_STORAGE_PATH=str(models),
        INFINITETALK_SIZE=f"{SIZE.height},{SIZE.width}",
        OMP_NUM_THREADS="1",
    )


def render_here(control: Control, models: Path, spec: RenderSpec) -> npt.NDArray[np.uint8]:
    """Render one attempt to its end, take down its reports, and give its frames."""
    with host_here(control) as host:
        host.engine, host.engine_name = InfiniteTalkEngine(models, SIZE), EngineName.INFINITETALK
        tasks.render(spec.to_dict())
        control.wait_for(ReportKind.SUCCEEDED)
    control.forget_reports()
    return control.decoded(spec)


def test_killed_in_window_2_and_stopped_there_again_a_job_gives_the_undisturbed_video(
    control: Control, models: Path
) -> None:
    undisturbed = render_here(control, models, control.spec(1))

    killed = control.send(control.spec(2))
    with start_worker(control, models) as process:
        control.wait_for(ReportKind.WINDOW)
        process.signal(signal.SIGKILL)
        process.wait()
    assert [report.windows_done for report in control.reports()] == [0, 1]
    control.forget_reports()

    stopped = control.send(control.next_attempt(killed, windows=1, step=False))
    with start_worker(control, models) as process:
        control.wait_for(ReportKind.STARTED)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    handed_back = control.wait_for(ReportKind.HANDED_BACK)
    control.forget_reports()

    last = control.next_attempt(stopped, windows=1, step=handed_back.step_saved)
    assert np.array_equal(render_here(control, models, last), undisturbed)
