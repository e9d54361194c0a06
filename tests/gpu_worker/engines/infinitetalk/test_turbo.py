"""The engine with distilled weights: alone, beside the standard ones, and without them."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpu_worker.contract.presets import PRESETS, PresetName, Resolution, Weights
from gpu_worker.engines.base import EngineJob, RenderedWindow, RenderStoppedError, Step
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine
from gpu_worker.engines.infinitetalk.devices import Cpu
from gpu_worker.engines.infinitetalk.models import PreparedModels
from gpu_worker.model_store import manifest
from InfiniteTalk.checkpoints.conversion import FLASHTALK_FOLDER, INDEX_FILE, convert
from InfiniteTalk.checkpoints.original_checkpoint import OriginalCheckpoint
from InfiniteTalk.checkpoints.precision import Precision
from InfiniteTalk.tiny import write_tiny_checkpoint
from tests.gpu_worker.shared_models import tiny_models
from tests.gpu_worker.tiny_models import SIZE, engine_job

SECONDS = 1.32
"""Two windows: 28 frames, and 5."""


@pytest.fixture(scope="module")
def turbo_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("turbo")
    write_tiny_checkpoint(folder / "original")
    original = OriginalCheckpoint(
        folder / "original" / "Wan2.1-I2V-14B-480P",
        folder / "original" / "chinese-wav2vec2-base",
        flashtalk=folder / "original" / "SoulX-FlashTalk-14B",
    )
    store = folder / "models"
    convert(original, store, Precision.FP8)
    described = manifest.describe(store, precision="fp8", speakers=(), loras=(), revisions={})
    manifest.write(described, store)
    return store


@pytest.fixture(scope="module")
def engine(turbo_models: Path) -> InfiniteTalkEngine:
    return InfiniteTalkEngine(turbo_models, SIZE)


@pytest.fixture
def job(tmp_path: Path) -> EngineJob:
    sampling = PRESETS[PresetName.TURBO].sampling(Resolution.P480)
    return engine_job(tmp_path, seconds=SECONDS, preset=PresetName.TURBO, sampling=sampling)


def go_on(step: Step) -> bool:
    return True


def test_it_offers_the_presets_whose_weights_are_there(engine: InfiniteTalkEngine) -> None:
    assert engine.info.presets == {PresetName.TURBO, PresetName.INSTANT}


def test_weights_that_were_not_finished_are_not_offered(turbo_models: Path, tmp_path: Path) -> None:
    begun = shutil.copytree(turbo_models, tmp_path / "models")
    (begun / FLASHTALK_FOLDER / "transformer" / INDEX_FILE).unlink()
    assert PreparedModels(begun, Cpu()).presets == set()


def test_windows_are_short_and_show_no_lead_in(engine: InfiniteTalkEngine, job: EngineJob) -> None:
    steps: list[Step] = []
    windows = list(engine.render(job, lambda step: steps.append(step) or True))
    assert [len(window.frames) for window in windows] == [28, 5]
    assert {step.steps for step in steps} == {4}


def test_a_render_that_was_handed_back_gives_the_same_frames(
    engine: InfiniteTalkEngine, job: EngineJob
) -> None:
    first, second = engine.render(job, go_on)
    with pytest.raises(RenderStoppedError) as stop:
        list(engine.render(job, lambda step: (step.window, step.step) != (1, 2)))
    resumed = replace(job, next_window=1, window_state=first.state, step_state=stop.value.step_state)
    (again,) = engine.render(resumed, go_on)
    assert np.array_equal(again.frames, second.frames)


def test_two_steps_give_another_video_than_four(engine: InfiniteTalkEngine, job: EngineJob) -> None:
    sampling = PRESETS[PresetName.INSTANT].sampling(Resolution.P480)
    instant = replace(job, preset=PresetName.INSTANT, sampling=sampling)
    four, two = (next(iter(engine.render(each, go_on))).frames for each in (job, instant))
    assert not np.array_equal(four, two)


@pytest.fixture
def both(turbo_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfiniteTalkEngine]:
    store = tiny_models(tmp_path_factory)
    (store / "SoulX-FlashTalk-14B").symlink_to(turbo_models / "SoulX-FlashTalk-14B")
    return InfiniteTalkEngine(store, SIZE)


def test_one_engine_renders_with_either_transformer_in_turn(
    both: InfiniteTalkEngine, engine: InfiniteTalkEngine, job: EngineJob, tmp_path: Path
) -> None:
    assert both.info.presets == frozenset(PresetName)
    standard = engine_job(tmp_path, seconds=0.2)

    def frames(job: EngineJob) -> RenderedWindow:
        return next(iter(both.render(job, go_on)))

    before, turbo, after = frames(standard), frames(job), frames(standard)
    assert both._models_for("single", Weights.STANDARD) is both._models
    assert np.array_equal(turbo.frames, next(iter(engine.render(job, go_on))).frames)
    assert np.array_equal(before.frames, after.frames)
