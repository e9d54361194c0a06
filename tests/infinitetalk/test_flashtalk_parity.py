from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from PIL import Image

from InfiniteTalk.checkpoints.encoder_key_maps import VAE_KEYS
from InfiniteTalk.flashtalk import flashtalk_settings
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.reference import StillReference
from InfiniteTalk.rendering import Window
from InfiniteTalk.sampling import StepProgress
from InfiniteTalk.settings import Precomputed, RenderSettings
from InfiniteTalk.sizes import Size

from .golden_transformer import golden_model
from .recordings import error, metadata, tensors

RECORDED = tensors("realtime")
STEPS = [(window, step) for window in range(2) for step in range(4)]


class Replay:
    """The recorded run once more, through the public pipeline."""

    def __init__(self) -> None:
        self.steps: dict[tuple[int, int], StepProgress] = {}
        recorded = metadata("realtime")["arguments"]
        self.settings = flashtalk_settings(
            steps=recorded["steps"], seed=recorded["seed"], reference_compat=True
        )
        pipeline = InfiniteTalkPipeline(golden_model(), golden_vae(), *[None] * 5)
        self.windows: list[Window] = list(
            pipeline.stream(
                reference=StillReference(Image.fromarray(RECORDED["image"].numpy())),
                speech=[],
                prompt="",
                settings=self.settings,
                resolution=Size(recorded["height"], recorded["width"]),
                video_frames=56,
                callback=self._keep,
                given=Precomputed(
                    prompt_embeds=RECORDED["text"][None],
                    audio_embeds=[RECORDED["audio_embedding"]],
                    image_embeds={0: RECORDED["clip"]},
                ),
                output_type="float32",
            )
        )

    def _keep(self, progress: StepProgress) -> None:
        self.steps[progress.window, progress.step - 1] = progress


def golden_vae() -> AutoencoderKLWan:
    vae = AutoencoderKLWan(base_dim=8, z_dim=16)
    weights = {
        VAE_KEYS.place(name).targets[0]: tensor.clone()
        for name, tensor in tensors("realtime_vae_weights").items()
    }
    shapes = vae.state_dict()
    vae.load_state_dict({name: tensor.view_as(shapes[name]) for name, tensor in weights.items()})
    return vae.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def replay() -> Replay:
    return Replay()


def test_the_timesteps_are_the_recorded_ones(replay: Replay) -> None:
    assert error(replay.settings.schedule, RECORDED["timesteps"]) <= 1e-4


@pytest.mark.parametrize(("window", "step"), STEPS)
def test_each_step_predicts_the_recorded_velocity(replay: Replay, window: int, step: int) -> None:
    assert error(replay.steps[window, step].noise_pred[0], RECORDED[f"chunk{window}/step{step}/out"]) <= 2e-5


@pytest.mark.parametrize(("window", "step"), [(window, step) for window, step in STEPS if step < 3])
def test_the_latents_after_each_step_are_the_recorded_ones(replay: Replay, window: int, step: int) -> None:
    recorded = RECORDED[f"chunk{window}/step{step + 1}/latent_in"]
    assert error(replay.steps[window, step].latents[0], recorded) <= 1e-4


@pytest.mark.parametrize("window", [0, 1])
def test_the_frames_are_the_recorded_ones(replay: Replay, window: int) -> None:
    frames = torch.from_numpy(replay.windows[window].frames).permute(3, 0, 1, 2)
    assert error(frames, RECORDED[f"chunk{window}/frames"]) <= 5e-4


def settings_of(**arguments: Any) -> RenderSettings:
    return flashtalk_settings(**arguments)


def test_two_steps_take_the_published_timesteps() -> None:
    assert settings_of(steps=2).schedule.tolist() == pytest.approx([1000, 833.3333, 0])


def test_other_numbers_of_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="steps must be 4 or 2, not 8"):
        settings_of(steps=8)
