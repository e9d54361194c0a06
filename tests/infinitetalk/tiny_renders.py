"""Renders of a few small windows by the tiny checkpoint, for tests of the pipeline."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from InfiniteTalk.audio import load_speech
from InfiniteTalk.checkpoints.options import LoadOptions
from InfiniteTalk.checkpoints.original_checkpoint import Speakers
from InfiniteTalk.flashtalk import flashtalk_settings
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.reference import StillReference
from InfiniteTalk.rendering import Window
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.sizes import Size

from .recordings import GOLDEN

SIZE = Size(48, 32)
SPEECH = load_speech(GOLDEN / "speech_tiny.wav")
PORTRAIT = Image.merge("RGB", [Image.linear_gradient("L").resize((50, 70))] * 3).point(
    [90 + level * contrast // 10 for contrast in (4, 3, 2) for level in range(256)]
)


def load(checkpoint: Path, speakers: Speakers = "single") -> InfiniteTalkPipeline:
    options = LoadOptions(torch_dtype=torch.float32)
    return InfiniteTalkPipeline.from_pretrained(checkpoint, speakers=speakers, options=options)


def settings(**changes: Any) -> RenderSettings:
    quick: dict[str, Any] = {
        "num_inference_steps": 3,
        "shift": 3.0,
        "text_guidance_scale": 1.0,
        "audio_guidance_scale": 2.0,
        "seed": 7,
        "num_frames": 13,
        "motion_frames": 5,
    }
    return RenderSettings(**(quick | changes))


def distilled(**changes: Any) -> RenderSettings:
    """As the distilled weights are sampled, in shorter windows."""
    return replace(flashtalk_settings(seed=7), num_frames=13, **changes)


def arguments(**changes: Any) -> dict[str, Any]:
    """What `stream` needs, for four windows of a still that speaks for 1.46 seconds."""
    usual: dict[str, Any] = {
        "reference": StillReference(PORTRAIT),
        "speech": [SPEECH],
        "prompt": "A person is talking.",
        "settings": settings(),
        "resolution": SIZE,
    }
    return usual | changes


def same_frames(some: Sequence[Window], others: Sequence[Window]) -> bool:
    return [window.index for window in some] == [window.index for window in others] and all(
        np.array_equal(a.frames, b.frames) for a, b in zip(some, others, strict=True)
    )
