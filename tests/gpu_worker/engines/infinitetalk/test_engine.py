"""The InfiniteTalk engine on a tiny checkpoint: windows, stops, memory and kernels that fail."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gpu_worker.contract.framing import Box
from gpu_worker.contract.presets import PresetName, Weights
from gpu_worker.contract.spec import SpeakerBox
from gpu_worker.engines.base import EngineJob, RenderedWindow, RenderError, RenderStoppedError, Step
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine
from gpu_worker.engines.infinitetalk import engine as engine_module
from gpu_worker.engines.infinitetalk.devices import Cpu
from gpu_worker.engines.infinitetalk.models import PreparedModels
from gpu_worker.engines.infinitetalk.placement import Placement
from gpu_worker.model_store.errors import NotReadyError
from InfiniteTalk.checkpoints.precision import is_float8_weight
from tests.gpu_worker.shared_models import tiny_models
from tests.gpu_worker.tiny_models import SIZE, engine_job
from tests.media_samples import tone, write_sound


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory)


@pytest.fixture(scope="module")
def engine(models: Path) -> InfiniteTalkEngine:
    return InfiniteTalkEngine(models, SIZE)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> EngineJob:
    return engine_job(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def windows(engine: InfiniteTalkEngine, job: EngineJob) -> list[RenderedWindow]:
    """The job's windows when nothing happens."""
    return list(engine.render(job, renew_slices))


def renew_slices(step: Step) -> bool:
    return True


def stop_at(window: int, step: int) -> Callable[[Step], bool]:
    return lambda here: (here.window, here.step) != (window, step)


def test_a_job_is_rendered_window_by_window(windows: list[RenderedWindow]) -> None:
    assert [window.frames.shape for window in windows] == [(81, 32, 48, 3), (69, 32, 48, 3)]
    assert windows[0].state is not None
    assert not np.array_equal(windows[0].frames[0], windows[0].frames[40])


def test_the_steps_are_announced_as_they_are_done(engine: InfiniteTalkEngine, job: EngineJob) -> None:
    steps: list[Step] = []
    list(engine.render(replace(job, num_frames=20), lambda step: steps.append(step) or True))
    assert [(step.step, step.stage) for step in steps] == [
        (0, "encoding"),
        (1, "sampling"),
        (2, "sampling"),
        (3, "sampling"),
        (4, "decoding"),
    ]


def test_going_on_from_a_window_s_state_gives_the_same_frames(
    engine: InfiniteTalkEngine, job: EngineJob, windows: list[RenderedWindow]
) -> None:
    resumed = replace(job, next_window=1, window_state=windows[0].state)
    (second,) = engine.render(resumed, renew_slices)
    assert np.array_equal(second.frames, windows[1].frames)


@pytest.mark.parametrize("last", [2, 4])
def test_a_render_stopped_between_two_steps_goes_on_there_with_the_same_frames(
    engine: InfiniteTalkEngine, job: EngineJob, windows: list[RenderedWindow], last: int
) -> None:
    with pytest.raises(RenderStoppedError) as stop:
        list(engine.render(job, stop_at(1, last)))
    steps: list[Step] = []
    resumed = replace(job, next_window=1, window_state=windows[0].state, step_state=stop.value.step_state)
    (second,) = engine.render(resumed, lambda step: steps.append(step) or True)
    assert np.array_equal(second.frames, windows[1].frames)
    assert [step.step for step in steps] == list(range(last, 5))


def test_the_state_of_the_last_step_can_be_had_while_the_next_one_runs(
    engine: InfiniteTalkEngine, job: EngineJob
) -> None:
    offered: list[Step] = []
    list(engine.render(replace(job, num_frames=20), lambda step: offered.append(step) or True))
    with pytest.raises(RenderStoppedError) as stop:
        list(engine.render(replace(job, num_frames=20), stop_at(0, 2)))
    (second,) = [step for step in offered if step.step == 2]
    assert second.state is not None
    assert second.state() == stop.value.step_state


def test_the_part_of_the_picture_that_a_crop_names_is_rendered(
    engine: InfiniteTalkEngine, job: EngineJob, tmp_path: Path
) -> None:
    with Image.open(job.reference) as picture:
        picture.crop((picture.width // 2, 0, picture.width, picture.height)).save(tmp_path / "half.png")
    short = replace(job, num_frames=20)
    (cropped,) = engine.render(replace(short, crop=Box(0.5, 0.0, 0.5, 1.0)), renew_slices)
    (by_hand,) = engine.render(replace(short, reference=tmp_path / "half.png"), renew_slices)
    (whole,) = engine.render(short, renew_slices)
    assert np.array_equal(cropped.frames, by_hand.frames)
    assert not np.array_equal(cropped.frames, whole.frames)


def test_two_people_speak_with_the_layers_made_for_two(
    engine: InfiniteTalkEngine, job: EngineJob, windows: list[RenderedWindow], tmp_path: Path
) -> None:
    speech = (*job.speech, write_sound(tmp_path / "second.flac", tone(330, 0.8)))
    boxes = (SpeakerBox(0.0, 0.0, 0.5, 1.0), SpeakerBox(0.5, 0.0, 0.5, 1.0))
    duet = replace(job, speech=speech, speaker_boxes=boxes, num_frames=20)
    (together,) = engine.render(duet, renew_slices)
    assert together.frames.shape == (20, 32, 48, 3)
    assert not np.array_equal(together.frames, windows[0].frames[:20])


def test_two_people_after_one_are_rendered_as_by_an_engine_that_starts_with_them(
    models: Path, engine: InfiniteTalkEngine, tmp_path: Path
) -> None:
    models_for_two = engine._models_for("multi", Weights.STANDARD)
    models_for_two.loras.use({})  # As they are loaded: the last job may have folded some in.
    switched = models_for_two.pipeline.transformer.state_dict()
    loaded = PreparedModels(models, Cpu()).load("multi", Placement.RESIDENT, room=0)
    fresh = loaded.pipeline.transformer.state_dict()
    assert switched.keys() == fresh.keys()
    assert [name for name in fresh if not _same(switched[name], fresh[name])] == []


def test_the_layers_for_one_speaker_come_back_without_being_read(models: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(models, tmp_path / "models"))
    engine = InfiniteTalkEngine(copy, SIZE)
    engine._models_for("multi", Weights.STANDARD)
    shutil.rmtree(copy / "Wan2.1-I2V-14B-480P")
    (copy / "InfiniteTalk" / "single" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert engine._models_for("single", Weights.STANDARD).speakers == "single"


def _same(some: torch.Tensor, other: torch.Tensor) -> bool:
    if is_float8_weight(some):
        some, other = some.dequantize(), other.dequantize()
    return torch.equal(some, other)


def test_presets_differ_in_steps_guidance_and_lora(engine: InfiniteTalkEngine, job: EngineJob) -> None:
    short = replace(job, num_frames=5)
    fast, quality = (
        next(engine.render(replace(short, preset=preset), renew_slices)).frames
        for preset in (PresetName.FAST, PresetName.QUALITY)
    )
    assert not np.array_equal(fast, quality)


def test_a_prompt_is_encoded_once(
    engine: InfiniteTalkEngine, job: EngineJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = replace(job, prompt="A prompt that nobody has used before.")
    with pytest.raises(RenderStoppedError):
        next(engine.render(prompt, stop_at(0, 1)))
    monkeypatch.setattr(engine_module.LoadedModels, "encode_prompt", None)
    with pytest.raises(RenderStoppedError):
        next(engine.render(prompt, stop_at(0, 1)))


def test_full_memory_sends_the_models_away_and_the_render_goes_on_where_it_was(
    models: Path, job: EngineJob, windows: list[RenderedWindow]
) -> None:
    engine = InfiniteTalkEngine(models, SIZE)
    engine._placement = Placement.TEXT_ENCODER_ON_HOST
    memory_full_at(engine, 1, 2)
    rendered = list(engine.render(job, renew_slices))
    assert engine.info.details["placement"] == Placement.PARTLY_OFFLOADED
    assert [window.index for window in rendered] == [0, 1]
    assert np.array_equal(rendered[1].frames, windows[1].frames)


def test_memory_that_stays_full_fails_the_job_and_the_next_one_is_rendered(
    models: Path, job: EngineJob
) -> None:
    engine = InfiniteTalkEngine(models, SIZE)
    engine._placement = Placement.OFFLOADED
    memory_full_at(engine, 0, 1)
    short = replace(job, num_frames=5)
    with pytest.raises(RenderError, match="out_of_memory"):
        list(engine.render(short, renew_slices))
    assert len(list(engine.render(short, renew_slices))) == 1


def memory_full_at(engine: InfiniteTalkEngine, window: int, step: int) -> None:
    """Let the transformer of the loaded models run out of memory once, as a GPU does."""
    transformer = engine._models_for("single", Weights.STANDARD).pipeline.transformer
    calls = [0]

    def fail(*arguments: Any) -> None:
        calls[0] += 1
        if calls[0] == 2 * (4 * window + step) + 1:  # Two passes a step, four steps a window.
            raise torch.OutOfMemoryError("CUDA out of memory")

    transformer.register_forward_pre_hook(fail)


def test_black_frames_bring_the_plain_attention_and_the_window_is_rendered_again(
    models: Path, job: EngineJob, windows: list[RenderedWindow], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = InfiniteTalkEngine(models, SIZE)
    engine._attention = "sage"
    monkeypatch.setattr(engine_module, "_is_black", lambda frames: True)
    first = next(engine.render(job, renew_slices))
    assert engine.info.details["attention"] == "native"
    assert np.array_equal(first.frames, windows[0].frames)


def test_a_preset_whose_lora_is_not_installed_is_unavailable(models: Path, job: EngineJob) -> None:
    lora = models / "InfiniteTalk" / "lora" / "lightx2v.safetensors"
    hidden = lora.rename(lora.with_suffix(".hidden"))
    try:
        engine = InfiniteTalkEngine(models, SIZE)
    finally:
        hidden.rename(lora)
    with pytest.raises(RenderError, match="model_unavailable"):
        next(engine.render(job, renew_slices))


def test_models_that_were_never_prepared_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="init_storage"):
        InfiniteTalkEngine(tmp_path, SIZE)


def test_the_receipt_names_the_models_and_where_they_are(engine: InfiniteTalkEngine) -> None:
    assert engine.info.denoises
    details = engine.info.details
    assert details["precision"] == "fp8"
    assert len(details["models_digest"]) == 64
    assert {"models", "attention", "placement", "load_seconds", "torch"} <= details.keys()


def test_how_fast_the_models_were_read_is_told(engine: InfiniteTalkEngine, models: Path) -> None:
    weights = sum(file.stat().st_size for file in models.rglob("*.safetensors"))
    assert 0.5 * weights < engine.vitals.loaded_bytes < weights
    assert engine.vitals.load_seconds > 0
    assert engine.vitals.vram_used_bytes is None


def test_damaged_models_are_unavailable(models: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(models, tmp_path / "models"))
    vae = damaged / "Wan2.1-I2V-14B-480P" / "vae" / "diffusion_pytorch_model.safetensors"
    vae.write_bytes(vae.read_bytes()[:-100])
    with pytest.raises(RenderError, match="model_unavailable"):
        InfiniteTalkEngine(damaged, SIZE)


def test_the_text_encoder_is_not_read_for_a_prompt_that_is_cached(models: Path, job: EngineJob) -> None:
    broken = models.with_name("without-t5")
    shutil.copytree(models, broken)
    engine = InfiniteTalkEngine(broken, SIZE)
    short = replace(job, num_frames=5)
    expected = next(engine.render(short, renew_slices)).frames

    (broken / "Wan2.1-I2V-14B-480P" / "text_encoder" / "model.safetensors").unlink()
    engine._forget_models()
    assert np.array_equal(next(engine.render(short, renew_slices)).frames, expected)
    with pytest.raises(RenderError, match="model_unavailable"):
        next(engine.render(replace(short, prompt="another"), renew_slices))
