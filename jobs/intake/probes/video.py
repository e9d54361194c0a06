"""Turns any accepted video into H.264 at up to 25 frames a second, upright, in BT.709, without sound."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from gpu_worker.contract.windows import FPS
from jobs.intake.probes.base import IntakeError, IntakeLimits, Measurements
from jobs.intake.probes.containers import decode, decoders_of, open_container
from jobs.intake.probes.faces import faces_of

MIN_SIDE = 128
MAX_SIDE = 1280
"""The longer side of 720p; more would only be carried about."""
MAX_PIXELS = 4096 * 2304
BASE_WORK, WORK_PER_SECOND = 4 * 10**9, 1280 * 720 * 30
"""Pixels × frames that may be decoded: in any case, and for each second that a speech may last."""
CODECS = ("h264", "hevc", "av1", "vp8", "vp9", "mpeg4")
DECODERS = decoders_of(lambda codec: codec in CODECS)
ENCODER = {"preset": "superfast", "crf": "18"}
THREADS = 2
UNSPECIFIED = 2
"""FFmpeg's number for a frame that names no colour matrix; players then judge by the height."""
HD_HEIGHT = 720
HDR_CURVES = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)

Pixels = npt.NDArray[np.uint8]
"""RGB [height, width, 3]."""


@dataclass(frozen=True)
class Picture:
    """An upright frame and the seconds between which it is shown."""

    pixels: Pixels
    start: float
    end: float


def probe_video(source: Path, out: Path, limits: IntakeLimits) -> Measurements:
    """Write the first picture track of `source` to `out`, as far as the longest speech can use it.

    Raises:
        IntakeError: `video_unreadable`.
    """
    with open_container(source, DECODERS, "video_unreadable") as container:
        pictures = _upright(container, _picture_track(container, limits), Work(limits))
        first = next(pictures, None)
        if first is None:
            raise IntakeError("video_unreadable", "The file contains no video frames.")
        height, width = first.pixels.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise IntakeError("video_unreadable", f"Each side must have at least {MIN_SIDE} pixels.")
        changes = _at_25_fps(first, pictures, num_frames=int(limits.max_speech_seconds * FPS))
        num_frames = _write(out, changes, width=width, height=height)
    faces = faces_of(Image.fromarray(first.pixels))
    return Measurements(width=width, height=height, duration_seconds=num_frames / FPS, faces=faces)


class Work:
    """Counts the pixels × frames that are decoded, and stops at the limit."""

    def __init__(self, limits: IntakeLimits) -> None:
        self._left = BASE_WORK + int(limits.max_speech_seconds * WORK_PER_SECOND)

    def spend(self, pixels: int) -> None:
        self._left -= pixels
        if self._left < 0:
            detail = "The video has too many pixels and frames: make it shorter or smaller; 720p is enough."
            raise IntakeError("video_unreadable", detail)


def _picture_track(container: InputContainer, limits: IntakeLimits) -> VideoStream:
    if not container.streams.video:
        raise IntakeError("video_unreadable", "The file has no video track.")
    track = container.streams.video[0]
    codec = track.codec.canonical_name
    if codec not in CODECS:
        detail = f"The video codec {codec} is not supported: convert it to MP4 with H.264."
        raise IntakeError("video_unreadable", detail)
    if track.width * track.height > MAX_PIXELS:
        raise IntakeError("video_unreadable", "The video is larger than 4096 × 2304 pixels.")
    # What the headers announce is refused before it is decoded.
    used = min(track.frames, int(limits.max_speech_seconds * (track.average_rate or 0)))
    Work(limits).spend(used * track.width * track.height)
    track.thread_count = THREADS
    return track


def _upright(container: InputContainer, track: VideoStream, work: Work) -> Iterator[Picture]:
    converter = VideoReformatter()
    for frame in decode(container, track, "video_unreadable"):
        work.spend(frame.width * frame.height)
        if frame.pts is None:
            raise IntakeError("video_unreadable", "The frames of the video have no timestamps.")
        end = frame.time + float((frame.duration or 0) * frame.time_base)
        pixels = _to_rgb(converter, frame, track.sample_aspect_ratio or Fraction(1))
        yield Picture(np.rot90(pixels, round(frame.rotation / 90)), frame.time, end)


def _to_rgb(converter: VideoReformatter, frame: av.VideoFrame, pixel_aspect: Fraction) -> Pixels:
    """Square pixels, the longer side at most `MAX_SIDE`, both even; HDR is mapped to BT.709."""
    wide, high = frame.width * pixel_aspect, Fraction(frame.height)
    scale = min(Fraction(1), MAX_SIDE / max(wide, high))
    curve = (ColorTrc.BT709, ColorPrimaries.BT709) if frame.color_trc in HDR_CURVES else (None, None)
    unlabelled = Colorspace.ITU709 if frame.height >= HD_HEIGHT else Colorspace.ITU601
    pixels: Pixels = converter.reformat(
        frame,
        src_colorspace=unlabelled if frame.colorspace == UNSPECIFIED else frame.colorspace,
        width=_even(wide * scale),
        height=_even(high * scale),
        format="rgb24",
        dst_color_range=ColorRange.JPEG,
        dst_color_trc=curve[0],
        dst_color_primaries=curve[1],
    ).to_ndarray()  # type: ignore[assignment]  # rgb24 is uint8.
    return pixels


def _even(side: Fraction) -> int:
    return max(2, round(side / 2) * 2)


@dataclass(frozen=True)
class Shown:
    """A picture and the frames at 25 fps, from `start` to before `end`, in which it is shown."""

    pixels: Pixels
    start: int
    end: int


def _at_25_fps(first: Picture, rest: Iterator[Picture], *, num_frames: int) -> Iterator[Shown]:
    """Those of the pictures that are shown at 25 fps, of `num_frames` frames."""
    shown, start = first, 0
    for picture in rest:
        end = min(round((picture.start - first.start) * FPS), num_frames)
        if start < end:
            yield Shown(shown.pixels, start, end)
            start = end
        if start == num_frames:
            return
        shown = picture
    end = min(max(1, round((shown.end - first.start) * FPS)), num_frames)
    if start < end:
        yield Shown(shown.pixels, start, end)


def _write(out: Path, pictures: Iterator[Shown], *, width: int, height: int) -> int:
    """Encode each picture once, however long it is shown, and return how many frames at 25 fps they fill."""
    num_frames, converter = 0, VideoReformatter()
    with av.open(str(out), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = _add_stream(container, width=width, height=height)
        for shown in pictures:
            frame = converter.reformat(
                av.VideoFrame.from_ndarray(np.ascontiguousarray(shown.pixels), "rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts, frame.time_base = shown.start, Fraction(1, FPS)
            container.mux(stream.encode(frame))
            num_frames = shown.end
        container.mux(stream.encode(None))
    return num_frames


def _add_stream(container: OutputContainer, *, width: int, height: int) -> VideoStream:
    stream = container.add_stream("libx264", rate=FPS, options=ENCODER)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    codec = stream.codec_context
    codec.thread_count, codec.thread_type = THREADS, "FRAME"
    codec.color_range, codec.colorspace = ColorRange.MPEG, Colorspace.ITU709
    codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return stream
