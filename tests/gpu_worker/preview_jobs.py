"""Jobs for the preview engine, rendered for real, and faces measured again on what came out."""

import wave
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.spec import ReferenceKind, SpeakingOrder
from gpu_worker.engines.base import EngineJob
from gpu_worker.engines.preview import Face, FaceFinder, PreviewEngine

SAMPLES = Path(__file__).parents[2] / "samples"
PORTRAIT, COUPLE, SPEECH = SAMPLES / "portrait.png", SAMPLES / "couple.png", SAMPLES / "speech.wav"
DRAWING = Path(__file__).parent / "pictures" / "drawing.png"
"""A face seen straight from the front, on an even background."""

JOB = EngineJob(
    reference=DRAWING,
    reference_kind=ReferenceKind.IMAGE,
    speech=(SPEECH,),
    speaking_order=SpeakingOrder.TOGETHER,
    speaker_boxes=(),
    prompt="A person is talking.",
    negative_prompt="",
    resolution=Resolution.P480,
    preset=PresetName.FAST,
    seed=1,
    num_frames=40,
    sampling=PRESETS[PresetName.FAST].sampling(Resolution.P480),
)


@cache
def engine() -> PreviewEngine:
    return PreviewEngine()


@cache
def finder() -> FaceFinder:
    return FaceFinder()


def find_face(frame: np.ndarray) -> Face:
    return finder().find(frame, enough=1)[0]


def render(job: EngineJob = JOB, **changes: Any) -> np.ndarray:
    """All frames [num_frames, height, width, 3] of the windows from the job's next one on."""
    windows = engine().render(replace(job, **changes), lambda step: True)
    return np.concatenate([window.frames for window in windows])


def drawing() -> np.ndarray:
    return cv2.imread(str(DRAWING))


def write_picture(path: Path, picture: np.ndarray) -> Path:
    cv2.imwrite(str(path), picture)
    return path


def write_two_faces(path: Path) -> Path:
    """The drawing, and beside it a mirrored one."""
    face = cv2.resize(drawing(), (540, 540), interpolation=cv2.INTER_AREA)
    return write_picture(path, np.hstack([face, face[:, ::-1]]))


def write_speech(path: Path, seconds: float, *, start: float = 0.0) -> Path:
    """A part of the sample speech."""
    with wave.open(str(SPEECH)) as source, wave.open(str(path), "wb") as out:
        out.setparams(source.getparams())
        source.setpos(int(start * source.getframerate()))
        out.writeframes(source.readframes(int(seconds * source.getframerate())))
    return path


def write_video(path: Path, pictures: Sequence[np.ndarray], fps: int = 25) -> Path:
    """An H.264 MP4 of BGR pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode(None))
    return path


def mouth_opening(face: Face) -> float:
    """Gap between the inner lips, in face heights."""
    return _gap(face, 13, 14)


def eye_opening(face: Face) -> float:
    """Gap between the lids of the eye that is more open, in face heights."""
    return max(_gap(face, 159, 145), _gap(face, 386, 374))


def _gap(face: Face, upper: int, lower: int) -> float:
    points = face.points[:, :2]
    return float(np.linalg.norm(points[upper] - points[lower]) / np.linalg.norm(points[10] - points[152]))
