"""A worker whose renders are shared by two processes, on a CPU and over gloo."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from gpu_worker import tasks
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.spec import ReportKind
from gpu_worker.engines.base import EngineJob, RenderedWindow, RenderError, RenderStoppedError, Step
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine, ParallelEngine
from gpu_worker.engines.infinitetalk.rank_processes import RankProcesses
from tests.gpu_worker.engines.infinitetalk.test_worker import control  # noqa: F401 - a fixture
from tests.gpu_worker.playing_control import Control, WorkerProcess, host_here, wait_until
from tests.gpu_worker.shared_models import tiny_models
from tests.gpu_worker.tiny_models import SIZE, engine_job

START_SECONDS = 400.0
"""What three processes may take to import torch, one after the other on a busy machine, and render."""
ENVIRONMENT = {
    "INFINITETALK_SIZE": f"{SIZE.height},{SIZE.width}",
    "OMP_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory)


@pytest.fixture(scope="module")
def engine(models: Path) -> Iterator[ParallelEngine]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | {"MODEL_STORAGE_PATH": str(models)}).items():
            patch.setenv(name, value)
        engine = ParallelEngine(2)
        yield engine
        if engine._ranks is not None:
            engine._ranks.end()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> EngineJob:
    return engine_job(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def undisturbed(models: Path, job: EngineJob) -> list[RenderedWindow]:
    """What one process renders."""
    torch.set_num_threads(1)
    return list(InfiniteTalkEngine(models, SIZE).render(job, lambda step: True))


def kinds(control: Control) -> list[ReportKind]:  # noqa: F811
    return [report.kind for report in control.reports()]


def assert_same(some: list[RenderedWindow], others: list[RenderedWindow]) -> None:
    assert [window.index for window in some] == [window.index for window in others]
    for a, b in zip(some, others, strict=True):
        assert np.abs(a.frames.astype(int) - b.frames).max() <= 1
        assert (a.frames != b.frames).mean() < 1e-3
        if a.state is not None and b.state is not None:
            ours, theirs = load(a.state)["motion_latents"], load(b.state)["motion_latents"]
            assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_two_processes_render_what_one_does(
    engine: ParallelEngine, job: EngineJob, undisturbed: list[RenderedWindow]
) -> None:
    steps: list[Step] = []
    windows = list(engine.render(job, lambda step: steps.append(step) or True))

    assert_same(windows, undisturbed)
    assert [(step.window, step.step) for step in steps] == sorted((step.window, step.step) for step in steps)
    assert engine.info.details["gpus"] == 2


def test_a_stopped_render_goes_on_from_its_step(
    engine: ParallelEngine, job: EngineJob, undisturbed: list[RenderedWindow]
) -> None:
    with pytest.raises(RenderStoppedError) as stop:
        list(engine.render(job, lambda step: (step.window, step.step) != (0, 2)))

    rest = list(engine.render(replace(job, step_state=stop.value.step_state), lambda step: True))
    assert_same(rest, undisturbed)


@pytest.mark.proof
def test_a_rank_that_dies_ends_the_render_and_the_next_one_has_new_ranks(
    engine: ParallelEngine, job: EngineJob, undisturbed: list[RenderedWindow]
) -> None:
    ranks = engine._ranks
    assert isinstance(ranks, RankProcesses)
    first, second = ranks.pids

    def kill_the_second(step: Step) -> bool:
        if step.step == 2:
            os.kill(second, signal.SIGKILL)
        return True

    with pytest.raises(RenderError, match="A GPU that shared the render was lost") as lost:
        list(engine.render(job, kill_the_second))
    assert lost.value.code == "worker_lost"
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert_same(list(engine.render(job, lambda step: True)), undisturbed)


@pytest.mark.proof  # In short: the stopped render above, and test_worker.py of one process.
def test_what_a_worker_with_two_ranks_hands_back_two_others_go_on_with(
    control: Control,  # noqa: F811
    models: Path,
    engine: ParallelEngine,
) -> None:
    sent = control.send(control.spec(1))
    environment = ENVIRONMENT | {"MODEL_STORAGE_PATH": str(models), "WORKER_GPUS": "2"}
    arguments = ("--queue", "render-gpu")
    module = "tests.gpu_worker.unhurried_worker"
    with WorkerProcess(control, *arguments, module=module, **environment) as process:
        wait_until(lambda: ReportKind.WINDOW in kinds(control), "the first window", START_SECONDS)
        process.signal(signal.SIGTERM)
        assert process.wait(START_SECONDS) == 0
    handed_back = control.wait_for(ReportKind.HANDED_BACK)
    assert handed_back.windows_done == 1
    control.forget_reports()

    with host_here(control) as host:
        host.engine, host.engine_name = engine, EngineName.INFINITETALK
        tasks.render(control.next_attempt(sent, windows=1, step=handed_back.step_saved).to_dict())
    assert kinds(control) == [
        ReportKind.STARTED,
        ReportKind.WINDOW,
        ReportKind.SUCCEEDED,
    ]
