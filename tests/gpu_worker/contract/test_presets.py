"""The timesteps of the presets, and of jobs that began before specs carried them."""

import pytest
import torch

from gpu_worker.contract.presets import PRESETS, PresetName, Resolution, version_1_sampling
from InfiniteTalk.schedule import flow_match_timesteps

DISTILLED = {
    PresetName.FAST: [1000, 937.5, 833.3, 625],
    PresetName.BALANCED: [1000, 972.2, 937.5, 892.9, 833.3, 750, 625, 416.7],
}


@pytest.mark.parametrize("resolution", Resolution)
@pytest.mark.parametrize("preset", DISTILLED)
def test_distilled_presets_denoise_where_their_lora_was_trained(
    preset: PresetName, resolution: Resolution
) -> None:
    sampling = PRESETS[preset].sampling(resolution)
    assert sampling.timesteps == pytest.approx(DISTILLED[preset], abs=0.05)
    assert (sampling.text_guidance_scale, sampling.audio_guidance_scale) == (1.0, 2.0)


@pytest.mark.parametrize(("resolution", "shift"), [(Resolution.P480, 7.0), (Resolution.P720, 11.0)])
def test_quality_keeps_the_published_spacing(resolution: Resolution, shift: float) -> None:
    timesteps = torch.tensor(PRESETS[PresetName.QUALITY].sampling(resolution).timesteps)
    assert torch.allclose(timesteps, flow_match_timesteps(40, shift)[:-1], rtol=1e-6)


@pytest.mark.parametrize(("preset", "steps"), [(PresetName.FAST, 4), (PresetName.BALANCED, 8)])
def test_a_job_of_version_1_keeps_the_timesteps_it_began_with(preset: PresetName, steps: int) -> None:
    timesteps = torch.tensor(version_1_sampling(preset, Resolution.P480).timesteps)
    assert torch.allclose(timesteps, flow_match_timesteps(steps, 2.0)[:-1], rtol=1e-5)
