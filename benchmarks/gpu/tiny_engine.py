"""1. The tiny checkpoint through the engine: every preset, one and two speakers, every placement."""

import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu.setting import Setting
from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.spec import ReferenceKind, SpeakingOrder
from gpu_worker.engines.base import EngineJob
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine
from gpu_worker.engines.infinitetalk import engine as engine_module
from gpu_worker.engines.infinitetalk.placement import Placement
from gpu_worker.model_store import manifest
from InfiniteTalk.checkpoints.conversion import convert
from InfiniteTalk.checkpoints.original_checkpoint import OriginalCheckpoint
from InfiniteTalk.checkpoints.precision import Precision
from InfiniteTalk.sizes import Size
from InfiniteTalk.tiny import write_tiny_checkpoint

TITLE = "The tiny checkpoint through the engine"
SIZE = Size(64, 96)


def run(setting: Setting) -> None:
    """Render one window in each combination."""
    placements = list(Placement) if setting.on_gpu else [Placement.RESIDENT]
    presets = list(PRESETS) if setting.on_gpu else [PresetName.FAST, PresetName.TURBO]
    with tempfile.TemporaryDirectory() as folder:
        models = _prepare(Path(folder))
        for placement in placements:
            with _placed(placement), setting.attempt("load", placement=placement.value):
                engine = InfiniteTalkEngine(models, SIZE)
                for preset, speakers in product(presets, (1, 2)):
                    if speakers > PRESETS[preset].max_speakers:
                        continue
                    conditions = {
                        "placement": placement.value,
                        "preset": preset.value,
                        "speakers": speakers,
                    }
                    with setting.attempt("window", **conditions):
                        _render(setting, engine, _job(setting, Path(folder), preset, speakers), conditions)
        with setting.attempt("out of memory once"):
            _run_out_of_memory_once(
                setting, InfiniteTalkEngine(models, SIZE), _job(setting, Path(folder), presets[0], 1)
            )


def _render(
    setting: Setting, engine: InfiniteTalkEngine, job: EngineJob, conditions: dict[str, str | int]
) -> None:
    began = time.perf_counter()
    frames = np.concatenate([window.frames for window in engine.render(job, lambda step: True)])
    setting.measure("window", time.perf_counter() - began, "s", **conditions)
    setting.measure("brightest level of the frames", int(frames.max()), "level", **conditions)


def _run_out_of_memory_once(setting: Setting, engine: InfiniteTalkEngine, job: EngineJob) -> None:
    """Lets the engine meet a full memory in mid-render, as it does at a placement that is too generous."""
    if not setting.on_gpu:
        return
    failures = iter([torch.OutOfMemoryError("forced")])

    def on_step(step: object) -> bool:
        for failure in failures:
            raise failure
        return True

    windows = list(engine.render(job, on_step))
    setting.measure("windows after memory ran out once", len(windows), "window")
    setting.measure(
        "placements given up", list(Placement).index(engine.info.details["placement"]), "placement"
    )


@contextmanager
def _placed(placement: Placement) -> Iterator[None]:
    with patch.object(engine_module, "choose_placement", lambda *_, **__: placement):
        yield


def _prepare(folder: Path) -> Path:
    write_tiny_checkpoint(folder / "original")
    lora = next((folder / "original" / "lora").glob("lightx2v*"))
    store = folder / "models"
    original = OriginalCheckpoint.below(folder / "original", {"lightx2v": lora})
    original = replace(original, flashtalk=folder / "original" / "SoulX-FlashTalk-14B")
    convert(original, store, Precision.FP8)
    description = manifest.describe(
        store, precision="fp8", speakers=("single", "multi"), loras=("lightx2v",), revisions={}, turbo=True
    )
    manifest.write(description, store)
    return store


def _job(setting: Setting, folder: Path, preset: PresetName, speakers: int) -> EngineJob:
    portrait, speech = folder / "portrait.png", folder / "speech.wav"
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(portrait)
    _write_tone(speech, setting.num_frames / 25)
    return EngineJob(
        reference=portrait,
        reference_kind=ReferenceKind.IMAGE,
        speech=(speech,) * speakers,
        speaking_order=SpeakingOrder.TOGETHER,
        speaker_boxes=(),
        prompt="A person is talking.",
        negative_prompt="",
        resolution=Resolution.P480,
        preset=preset,
        seed=1,
        num_frames=setting.num_frames,
        sampling=PRESETS[preset].sampling(Resolution.P480),
    )


def _write_tone(path: Path, seconds: float) -> None:
    moments = np.arange(round(seconds * 16000)) / 16000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((np.sin(2 * np.pi * 220 * moments) * 8000).astype("<i2").tobytes())
