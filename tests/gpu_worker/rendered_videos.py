"""Renders small videos for the tests of what becomes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_worker.contract.spec import SpeakingOrder
from gpu_worker.contract.windows import STANDARD_WINDOWS
from gpu_worker.media import audio_files, video_files
from tests.media_samples import moving_picture, tone, write_sound


@dataclass(frozen=True)
class Rendered:
    """The files of a video whose windows are encoded."""

    init: Path
    segments: tuple[Path, ...]

    def joined(self) -> bytes:
        return b"".join(path.read_bytes() for path in (self.init, *self.segments))


def encoded(folder: Path, speech: Sequence[Path], order: SpeakingOrder = SpeakingOrder.TOGETHER) -> Path:
    """The sound of a video."""
    out = folder / "speech.m4a"
    audio_files.write(speech, order, lambda: None, out)
    return out


def render(
    folder: Path, num_frames: int, *, width: int = 64, height: int = 48, speech: Path | None = None
) -> Rendered:
    """Encode each window of a video; the init section of each stays beside it as `init-<index>.mp4`.

    Without an encoded `speech` a tone is heard.
    """
    segments = []
    if speech is None:
        speech = encoded(folder, [write_sound(folder / "tone.flac", tone(220, num_frames / 25))])
    for window in STANDARD_WINDOWS.plan(num_frames):
        segment = folder / f"segment-{window.index}.m4s"
        frames = moving_picture(window.num_frames, start=window.start, width=width, height=height)
        init = folder / f"init-{window.index}.mp4"
        video_files.encode_segment(frames, window, speech=speech, init=init, segment=segment)
        segments.append(segment)
    return Rendered(folder / "init-0.mp4", tuple(segments))


def finish(rendered: Rendered, speech: Sequence[Path], order: SpeakingOrder = SpeakingOrder.TOGETHER) -> Path:
    """The finished video of `rendered`, by job `job_1`."""
    out = rendered.init.with_name("output.mp4")
    video_files.mux_video(
        init=rendered.init,
        segments=rendered.segments,
        speech=encoded(rendered.init.parent, speech, order),
        job_id="job_1",
        out=out,
    )
    return out
