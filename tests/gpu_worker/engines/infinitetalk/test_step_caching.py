"""Steps of `quality` that change little are skipped where the operator says so."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from environs import EnvValidationError

from gpu_worker.contract.presets import PRESETS, PresetName, Sampling, Weights
from gpu_worker.engines.base import EngineJob, RenderStoppedError, Step
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine
from gpu_worker.engines.infinitetalk.step_caching import StepCaching
from InfiniteTalk.sizes import Size
from tests.gpu_worker.shared_models import tiny_models
from tests.gpu_worker.tiny_models import SIZE, engine_job

COMPUTED, SKIPPED = 5, 2


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> InfiniteTalkEngine:
    """It computes the first five steps and skips all others."""
    models = tiny_models(tmp_path_factory)
    return InfiniteTalkEngine(models, SIZE, step_caching=StepCaching(1e9))


@pytest.fixture
def job(tmp_path: Path) -> EngineJob:
    timesteps = tuple(1000.0 - 100 * step for step in range(COMPUTED + SKIPPED))
    return replace(
        engine_job(tmp_path, seconds=0.2), preset=PresetName.QUALITY, sampling=Sampling(timesteps, 5.0, 4.0)
    )


@pytest.fixture
def computed(engine: InfiniteTalkEngine) -> Iterator[list[bool]]:
    """Grows with each forward that computes the blocks."""
    calls: list[bool] = []
    transformer = engine._models_for("single", Weights.STANDARD).pipeline.transformer
    handle = transformer.blocks[1].attn1.register_forward_hook(lambda *_: calls.append(True))
    yield calls
    handle.remove()


def go_on(step: Step) -> bool:
    return True


def test_quality_skips_steps_in_each_of_its_passes(
    engine: InfiniteTalkEngine, job: EngineJob, computed: list[bool]
) -> None:
    list(engine.render(job, go_on))
    assert len(computed) == 3 * COMPUTED
    assert engine.info.details["step_caching"] == 1e9


def test_a_preset_of_few_steps_computes_them_all(
    engine: InfiniteTalkEngine, job: EngineJob, computed: list[bool]
) -> None:
    """Also after a job that skipped some."""
    list(engine.render(job, go_on))
    computed.clear()
    few = replace(job, preset=PresetName.FAST, sampling=replace(job.sampling, text_guidance_scale=1.0))
    list(engine.render(few, go_on))
    assert len(computed) == 2 * (COMPUTED + SKIPPED)


def test_a_render_that_was_handed_back_goes_on_with_the_same_frames(
    engine: InfiniteTalkEngine, job: EngineJob
) -> None:
    (whole,) = engine.render(job, go_on)
    looks = count()
    with pytest.raises(RenderStoppedError) as stop:
        list(engine.render(job, lambda step: next(looks) < COMPUTED + 1))
    (resumed,) = engine.render(replace(job, step_state=stop.value.step_state), go_on)
    assert stop.value.step_state is not None
    assert np.array_equal(resumed.frames, whole.frames)


def test_what_is_kept_of_skipped_steps_is_part_of_the_memory_to_work_in() -> None:
    quality = PRESETS[PresetName.QUALITY]
    at_480p = StepCaching(0.2).residual_bytes(Size(640, 640), quality)
    assert at_480p == pytest.approx(1.03e9, rel=0.01)
    assert StepCaching(0).residual_bytes(Size(640, 640), quality) == 0
    assert StepCaching(0.2).residual_bytes(Size(640, 640), PRESETS[PresetName.FAST]) == 0


@pytest.mark.parametrize(
    ("threshold", "compile_blocks", "reason"),
    [("-1", False, "must be 0 or more"), ("0.2", True, "together with INFINITETALK_COMPILE")],
)
def test_what_the_environment_can_not_ask_for_is_named(
    monkeypatch: pytest.MonkeyPatch, threshold: str, compile_blocks: bool, reason: str
) -> None:
    monkeypatch.setenv("INFINITETALK_STEP_CACHING", threshold)
    with pytest.raises(EnvValidationError, match=reason):
        StepCaching.from_environment(compile_blocks=compile_blocks)
