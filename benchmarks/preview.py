"""How fast the preview engine is, and what memory it takes: `python -m benchmarks.preview`."""

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np

from benchmarks.row import Row
from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.spec import ReferenceKind, SpeakingOrder
from gpu_worker.contract.windows import FPS
from gpu_worker.engines.base import EngineJob
from gpu_worker.engines.preview import PreviewEngine

SAMPLES = Path(__file__).parent.parent / "samples"
SECONDS = 8


def rows() -> Iterator[Row]:
    """Frames per second of each kind of reference, then the peak of this process's memory."""
    engine = PreviewEngine()
    with TemporaryDirectory() as folder:
        for name, job in _jobs(Path(folder)).items():
            yield Row(f"preview, {name}", _frames_per_second(engine, job), "frames/s")
    yield Row("preview, peak memory", _peak_megabytes(), "MB")


def _jobs(folder: Path) -> dict[str, EngineJob]:
    portrait = cv2.imread(str(SAMPLES / "portrait.png"))
    two, video = folder / "two.png", folder / "video.mp4"
    cv2.imwrite(str(two), np.hstack([portrait, portrait[:, ::-1]]))
    _write_video(video, cv2.resize(portrait, (720, 720), interpolation=cv2.INTER_AREA))
    return {
        "portrait 480p": _job(SAMPLES / "portrait.png", Resolution.P480),
        "portrait 720p": _job(SAMPLES / "portrait.png", Resolution.P720),
        "two speakers 720p": _job(two, Resolution.P720, speakers=2),
        "video 720p": _job(video, Resolution.P720, ReferenceKind.VIDEO),
    }


def _job(
    reference: Path, resolution: Resolution, kind: ReferenceKind = ReferenceKind.IMAGE, speakers: int = 1
) -> EngineJob:
    return EngineJob(
        reference=reference,
        reference_kind=kind,
        speech=(SAMPLES / "speech.wav",) * speakers,
        speaking_order=SpeakingOrder.TOGETHER,
        speaker_boxes=(),
        prompt="A person is talking.",
        negative_prompt="",
        resolution=resolution,
        preset=PresetName.FAST,
        seed=0,
        num_frames=SECONDS * FPS,
        sampling=PRESETS[PresetName.FAST].sampling(resolution),
    )


def _write_video(path: Path, picture: np.ndarray) -> None:
    """The picture, gliding from left to right."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        for shift in range(SECONDS * FPS):
            shifted = np.roll(picture, shift // 4, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, "bgr24")))
        container.mux(stream.encode(None))


def _frames_per_second(engine: PreviewEngine, job: EngineJob) -> float:
    start = time.perf_counter()
    frames = sum(len(window.frames) for window in engine.render(job, lambda step: True))
    return frames / (time.perf_counter() - start)


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    for row in rows():
        print(f"{row.name:28} {row.value:8.1f} {row.unit}")
