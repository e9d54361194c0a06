"""A tiny prepared InfiniteTalk checkpoint, and jobs small enough for a CPU."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.spec import ReferenceKind, SpeakingOrder
from gpu_worker.engines.base import EngineJob
from gpu_worker.model_store import manifest
from InfiniteTalk.checkpoints.conversion import convert
from InfiniteTalk.checkpoints.original_checkpoint import OriginalCheckpoint
from InfiniteTalk.checkpoints.precision import Precision
from InfiniteTalk.sizes import Size
from InfiniteTalk.tiny import write_tiny_checkpoint
from tests.media_samples import tone, write_sound

SIZE = Size(32, 48)


def prepare_tiny_models(folder: Path, precision: Precision = Precision.FP8) -> Path:
    """Write and prepare a tiny checkpoint below `folder`; the folder of the store."""
    write_tiny_checkpoint(folder / "original")
    original = OriginalCheckpoint.below(folder / "original", {"lightx2v": _lightx2v(folder / "original")})
    store = folder / "models"
    convert(original, store, precision)
    selection: dict[str, Any] = {
        "precision": precision.value,
        "speakers": ("single", "multi"),
        "loras": ("lightx2v",),
    }
    manifest.write(manifest.describe(store, **selection, revisions={}), store)
    return store


def tiny_repos(folder: Path) -> dict[str, Path]:
    """The tiny checkpoint as the hub has the real one, with files that nobody needs."""
    write_tiny_checkpoint(folder)
    lora = folder / "distill"
    lora.mkdir()
    shutil.copy(_lightx2v(folder), lora / "wan2.1_i2v_lora_rank64_lightx2v_4step.safetensors")
    (lora / "wan2.1_t2v_14b_lora_rank64_lightx2v_4step.safetensors").write_bytes(b"not for us")
    quantized = folder / "InfiniteTalk" / "quant_models" / "infinitetalk_single_fp8.safetensors"
    quantized.parent.mkdir()
    quantized.write_bytes(b"148 GB that nobody needs")
    (folder / "SoulX-FlashTalk-14B" / "README.md").write_text("license: made up")
    return {
        "Soul-AILab/SoulX-FlashTalk-14B": folder / "SoulX-FlashTalk-14B",
        "Wan-AI/Wan2.1-I2V-14B-480P": folder / "Wan2.1-I2V-14B-480P",
        "TencentGameMate/chinese-wav2vec2-base": folder / "chinese-wav2vec2-base",
        "MeiGen-AI/InfiniteTalk": folder / "InfiniteTalk",
        "lightx2v/Wan2.1-Distill-Loras": lora,
    }


def _lightx2v(original: Path) -> Path:
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
        sampling=PRESETS[PresetName.FAST].sampling(Resolution.P480),
    )
    return replace(job, **changes)
