"""The InfiniteTalk engine on a GPU's stand-in: every tensor is where it computes, whatever the placement."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gpu_worker.contract.presets import PresetName, Weights
from gpu_worker.contract.spec import ReferenceKind, SpeakerBox
from gpu_worker.engines.base import EngineJob, RenderStoppedError, Step
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine
from gpu_worker.engines.infinitetalk.models import LoadedModels, PreparedModels
from gpu_worker.engines.infinitetalk.placement import Placement
from InfiniteTalk.checkpoints.precision import Precision
from InfiniteTalk.conditioning import encode_image
from tests.gpu_worker.shared_models import tiny_models
from tests.gpu_worker.tiny_models import SIZE, engine_job
from tests.media_samples import moving_picture, tone, write_sound, write_video
from tests.stand_in_gpu import CudaRules, StandInGpu

GPU = torch.device("meta")
BOXES = (SpeakerBox(0.0, 0.0, 0.5, 1.0), SpeakerBox(0.5, 0.0, 0.5, 1.0))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[Precision, Path]:
    return {precision: tiny_models(tmp_path_factory, precision) for precision in Precision}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> EngineJob:
    return engine_job(tmp_path_factory.mktemp("job"), seconds=0.8)


@pytest.fixture
def duet(job: EngineJob, tmp_path: Path) -> EngineJob:
    second = write_sound(tmp_path / "second.flac", tone(330, 0.8))
    return replace(job, speech=(*job.speech, second), speaker_boxes=BOXES)


@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize(
    ("precision", "float8_products"),
    [
        pytest.param(Precision.BF16, False, id="bf16"),
        pytest.param(Precision.FP8, False, id="fp8 weights"),
        pytest.param(Precision.FP8, True, id="fp8 activations"),
    ],
)
def test_every_weight_and_buffer_is_where_it_computes(
    stores: dict[Precision, Path], placement: Placement, precision: Precision, float8_products: bool
) -> None:
    prepared = PreparedModels(stores[precision], StandInGpu(free=0, multiplies_float8=float8_products))
    with CudaRules():
        models = prepared.load("single", placement, room=0)
        assert_all_compute_on_the_gpu(models)
        prepared.exchange_audio_layers(models, "multi")
        assert_all_compute_on_the_gpu(models)


def assert_all_compute_on_the_gpu(models: LoadedModels) -> None:
    placement = models.placement
    waiting = {name for name, _ in tensors(models) if waits_on_host(name, placement)}
    assert {name for name, tensor in tensors(models) if tensor.device != GPU} == waiting
    models.loras.use(dict.fromkeys(models.loras.names, 1.0))
    for _ in range(2):
        assert forward(models).dtype == torch.float32
    assert models.encode_prompt("A person is talking.").device.type == "cpu"
    assert encode_image(models.pipeline.image_encoder, torch.zeros(1, 3, 1, 64, 64, device=GPU)).is_meta
    assert {name for name, tensor in tensors(models) if tensor.device != GPU} == waiting


def tensors(models: LoadedModels) -> list[tuple[str, torch.Tensor]]:
    modules = {"text_encoder": models._text_encoder} | {
        name: module
        for name, module in models.pipeline.components.items()
        if isinstance(module, torch.nn.Module)
    }
    return [
        (f"{title}.{name}", tensor)
        for title, module in modules.items()
        for name, tensor in [*module.named_parameters(remove_duplicate=False), *module.named_buffers()]
    ]


def waits_on_host(name: str, placement: Placement) -> bool:
    if name.startswith("text_encoder."):
        return placement is not Placement.RESIDENT
    return name.startswith("transformer.blocks.") and placement.offloads_transformer


def forward(models: LoadedModels) -> torch.Tensor:
    transformer, people = models.pipeline.transformer, 1 if models.speakers == "single" else 2
    config = transformer.config
    audio = (people, 9, config.audio_window, config.audio_blocks, config.audio_channels)
    with torch.no_grad():
        velocity: torch.Tensor = transformer(
            hidden_states=torch.zeros(1, 36, 3, 8, 8, device=GPU),
            timestep=torch.zeros(1, device=GPU),
            encoder_hidden_states=torch.zeros(1, 7, config.text_dim, device=GPU),
            encoder_hidden_states_image=torch.zeros(1, 257, config.image_dim, device=GPU),
            audio_embeds=torch.zeros(audio, device=GPU),
            speaker_masks=torch.zeros(3, 8, 8, device=GPU) if people == 2 else None,
            return_dict=False,
        )[0]
    return velocity


def test_a_window_is_rendered_on_the_gpu(stores: dict[Precision, Path], job: EngineJob) -> None:
    with CudaRules():
        engine = InfiniteTalkEngine(stores[Precision.FP8], SIZE, device=StandInGpu())
        (window,) = engine.render(job, lambda step: True)
    assert window.frames.shape == (20, SIZE.height, SIZE.width, 3)
    assert engine.info.device == "stand-in"
    assert engine.vitals.vram_used_bytes == 0


@pytest.mark.parametrize("free", [0, 80 * 2**30], ids=["offloaded", "resident"])
def test_two_people_and_every_pass_without_a_lora_go_on_from_a_step(
    stores: dict[Precision, Path], duet: EngineJob, tmp_path: Path, free: int
) -> None:
    video = write_video(tmp_path / "video.mp4", np.stack(list(moving_picture(30))))
    dubbed = replace(duet, preset=PresetName.QUALITY, reference=video, reference_kind=ReferenceKind.VIDEO)
    with CudaRules():
        engine = InfiniteTalkEngine(stores[Precision.BF16], SIZE, device=StandInGpu(free))
        with pytest.raises(RenderStoppedError) as first:
            next(engine.render(dubbed, stop_after(1)))
        with pytest.raises(RenderStoppedError) as second:
            next(engine.render(replace(dubbed, step_state=first.value.step_state), stop_after(2)))
    assert second.value.step_state is not None


def stop_after(step: int) -> Callable[[Step], bool]:
    return lambda here: here.step < step


def test_memory_that_runs_out_moves_models_off_the_gpu(stores: dict[Precision, Path], job: EngineJob) -> None:
    with CudaRules():
        engine = InfiniteTalkEngine(stores[Precision.FP8], SIZE, device=StandInGpu())
        transformer, full = engine._models_for("single", Weights.STANDARD).pipeline.transformer, [True]

        def fail(*_: object) -> None:
            if full.pop():
                raise torch.OutOfMemoryError("CUDA out of memory")

        transformer.register_forward_pre_hook(fail)
        with pytest.raises(RenderStoppedError):
            next(engine.render(job, stop_after(1)))
    assert engine.info.details["placement"] == Placement.TEXT_ENCODER_ON_HOST


@pytest.mark.parametrize("free", [0, 80 * 2**30], ids=["offloaded", "resident"])
def test_one_and_two_speakers_share_the_base(stores: dict[Precision, Path], free: int) -> None:
    with CudaRules():
        engine = InfiniteTalkEngine(stores[Precision.FP8], SIZE, device=StandInGpu(free))
        single = {
            name: id(tensor) for name, tensor in tensors(engine._models_for("single", Weights.STANDARD))
        }
        models = engine._models_for("multi", Weights.STANDARD)
        multi = {name: id(tensor) for name, tensor in tensors(models)}
        exchanged = {name for name in single if single[name] != multi[name]}
        assert forward(models).is_meta
    assert exchanged
    assert all("audio" in name for name in exchanged)
    assert (models.spare_audio_layers is not None) == (free > 0)
