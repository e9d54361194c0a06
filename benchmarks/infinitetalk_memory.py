"""Whether memory grows with the video's length: `python -m benchmarks.infinitetalk_memory`.

A window's frames take 10 MB here, so one that were kept would show.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.row import Row
from InfiniteTalk.checkpoints.loading import load_components
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.reference import StillReference
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.sizes import Size
from InfiniteTalk.tiny import write_tiny_checkpoint
from InfiniteTalk.windows import SAMPLES_PER_FRAME

# Else the C library keeps what is freed, more or less of it by chance: up to 12 % of the peak.
FREED_IS_GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072"}
SIZE = Size(256, 256)
SETTINGS = RenderSettings(
    num_inference_steps=1,
    shift=7.0,
    text_guidance_scale=1.0,
    audio_guidance_scale=1.0,
    num_frames=13,
    motion_frames=5,
)


def rows() -> Iterator[Row]:
    """Peak resident memory of a short and of a long render, each in a process of its own."""
    peaks = []
    for windows in (3, 30):
        command = [sys.executable, "-m", "benchmarks.infinitetalk_memory", str(windows)]
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | FREED_IS_GIVEN_BACK
        ).stdout
        peaks.append(float(output))
        yield Row(f"peak memory, {windows} windows", peaks[-1], "MB")
    yield Row("peak memory, 30 windows to 3", peaks[1] / peaks[0], "x")


def peak_megabytes(windows: int) -> float:
    """Peak resident memory of this process, after it has rendered so many windows."""
    torch.set_num_threads(1)
    pipeline = tiny_pipeline()
    new_frames = SETTINGS.num_frames - SETTINGS.motion_frames
    render(pipeline, SETTINGS.motion_frames + windows * new_frames)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def tiny_pipeline() -> InfiniteTalkPipeline:
    """A pipeline of the tiny checkpoint."""
    options = LoadOptions(torch_dtype=torch.float32)
    with tempfile.TemporaryDirectory() as directory:
        write_tiny_checkpoint(Path(directory))
        components = load_components(CheckpointPaths.below(Path(directory)), "single", options)
    return InfiniteTalkPipeline.from_components(components)


def render(pipeline: InfiniteTalkPipeline, video_frames: int) -> None:
    """Renders a still that says noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, video_frames * SAMPLES_PER_FRAME).astype(np.float32)
    for _ in pipeline.stream(
        reference=StillReference(Image.linear_gradient("L").convert("RGB")),
        speech=[noise],
        prompt="Somebody talks.",
        settings=SETTINGS,
        resolution=SIZE,
    ):
        pass


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(peak_megabytes(int(sys.argv[1])))
    else:
        for row in rows():
            print(f"{row.name:50} {row.value:8.3f} {row.unit}", flush=True)
