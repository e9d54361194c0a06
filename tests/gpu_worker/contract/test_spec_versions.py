"""Specs of old and new releases, and a render that is upgraded in the middle of a window."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpu_worker.contract.presets import PRESETS, PresetName, Resolution, version_1_sampling
from gpu_worker.contract.spec import RenderSpec, SpecError
from gpu_worker.engines.base import RenderStoppedError
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine
from tests.gpu_worker.playing_control import Control
from tests.gpu_worker.shared_models import tiny_models
from tests.gpu_worker.tiny_models import SIZE, engine_job

SAMPLING = PRESETS[PresetName.FAST].sampling(Resolution.P480)


def test_a_spec_survives_the_way_through_json(control: Control) -> None:
    spec = control.spec(sampling=SAMPLING)
    assert RenderSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_spec_of_version_1_is_read_as_one_without_timesteps(control: Control) -> None:
    old = control.spec(version=1)
    data = old.to_dict()
    assert not {"sampling", "crop"} & data.keys()
    assert RenderSpec.from_dict(json.loads(json.dumps(data))) == old


def test_what_version_1_can_t_say_is_not_written_in_it(control: Control) -> None:
    with pytest.raises(SpecError, match="neither sampling nor crop"):
        control.spec(version=1, sampling=SAMPLING).to_dict()


@pytest.mark.parametrize("sampling", [{"timesteps": []}, {"steps": 4}])
def test_a_schedule_that_is_unfit_is_an_unfit_spec(control: Control, sampling: dict[str, object]) -> None:
    data = control.spec(sampling=SAMPLING).to_dict()
    with pytest.raises(SpecError, match="unfit value"):
        RenderSpec.from_dict(data | {"sampling": data["sampling"] | sampling})


def test_a_window_begun_before_the_upgrade_ends_with_the_timesteps_it_began_with(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine = InfiniteTalkEngine(tiny_models(tmp_path_factory), SIZE)
    (tmp_path / "job").mkdir()
    old = replace(
        engine_job(tmp_path / "job", seconds=0.8),
        sampling=version_1_sampling(PresetName.FAST, Resolution.P480),
    )
    (whole,) = engine.render(old, lambda step: True)
    with pytest.raises(RenderStoppedError) as stop:
        list(engine.render(old, lambda step: step.step != 2))
    (resumed,) = engine.render(replace(old, step_state=stop.value.step_state), lambda step: True)
    (new,) = engine.render(replace(old, sampling=SAMPLING), lambda step: True)
    assert np.array_equal(resumed.frames, whole.frames)
    assert not np.array_equal(new.frames, whole.frames)
