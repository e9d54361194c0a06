"""The engine at the published 14B size on a GPU's stand-in: every shape, number type and device fits."""

from dataclasses import replace
from pathlib import Path

import pytest

from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.spec import SpeakerBox
from gpu_worker.engines.base import EngineJob, RenderStoppedError
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine
from gpu_worker.engines.infinitetalk.placement import Placement
from tests.gpu_worker.shared_models import tiny_models
from tests.gpu_worker.tiny_models import engine_job
from tests.media_samples import tone, write_sound
from tests.published_models import write_published_models
from tests.stand_in_gpu import CudaRules, StandInGpu


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    return write_published_models(tiny_models(tmp_path_factory), folder / "published")


@pytest.fixture
def job(tmp_path: Path) -> EngineJob:
    return engine_job(tmp_path, seconds=0.2)


def test_a_window_is_rendered_with_a_lora(models: Path, job: EngineJob) -> None:
    with CudaRules():
        engine = InfiniteTalkEngine(models, device=StandInGpu())
        (window,) = engine.render(job, lambda step: True)
    assert engine.info.details["placement"] == Placement.RESIDENT
    assert window.frames.shape == (5, 512, 768, 3)


def test_two_people_are_rendered_with_every_pass_by_blocks_that_are_fetched(
    models: Path, job: EngineJob, tmp_path: Path
) -> None:
    boxes = (SpeakerBox(0.0, 0.0, 0.5, 1.0), SpeakerBox(0.5, 0.0, 0.5, 1.0))
    speech = (*job.speech, write_sound(tmp_path / "second.flac", tone(330, 0.2)))
    duet = replace(job, preset=PresetName.QUALITY, speech=speech, speaker_boxes=boxes)
    with CudaRules():
        engine = InfiniteTalkEngine(models, device=StandInGpu(free=0))
        with pytest.raises(RenderStoppedError) as stop:
            next(engine.render(duet, lambda step: step.step < 1))
    assert engine.info.details["placement"] == Placement.OFFLOADED
    assert stop.value.step_state is not None
