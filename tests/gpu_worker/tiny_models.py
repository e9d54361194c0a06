"""A tiny prepared InfiniteTalk checkpoint, and jobs small enough for a CPU."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from gpu_worker.contract.presets import PresetName, Resolution
from gpu_worker.contract.spec import ReferenceKind, SpeakingOrder
from gpu_worker.engines.base import EngineJob
from InfiniteTalk.conversion import convert
from InfiniteTalk.original_checkpoint import OriginalCheckpoint
from InfiniteTalk.precision import Precision
from InfiniteTalk.sizes import Size
from InfiniteTalk.tiny import write_tiny_checkpoint
from tests.media_samples import tone, write_sound

SIZE = Size(32, 48)


def prepare_tiny_models(folder: Path) -> Path:
    """Write and prepare a tiny checkpoint below `folder`; the prepared one's folder."""
    write_tiny_checkpoint(folder / "original")
    original = OriginalCheckpoint.below(folder / "original", {"lightx2v": lightx2v(folder / "original")})
    convert(original, folder / "models", Precision.FP8)
    return folder / "models"


def lightx2v(original: Path) -> Path:
    return next((original / "lora").glob("lightx2v*"))


def write_portrait(path: Path) -> Path:
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(path)
    return path


def engine_job(folder: Path, *, seconds: float = 6.0, **changes: Any) -> EngineJob:
    """A job of `seconds` (6 s are two windows) for one speaker."""
    job = EngineJob(
        reference=write_portrait(folder / "portrait.png"),
        reference_kind=ReferenceKind.IMAGE,
        speech=(write_sound(folder / "speech.flac", tone(220, seconds)),),
        speaking_order=SpeakingOrder.TOGETHER,
        speaker_boxes=(),
        prompt="A person is talking.",
        negative_prompt="",
        resolution=Resolution.P480,
        preset=PresetName.FAST,
        seed=3,
        num_frames=round(seconds * 25),
    )
    return replace(job, **changes)
