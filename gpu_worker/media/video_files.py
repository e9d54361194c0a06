"""From rendered windows to the files that a user gets.

Each window becomes one fragment (fragmented MP4) of picture and sound, playable behind an init section that
all windows of a job share. The finished video is a remux: the picture is encoded once, window by window,
while the next one is rendered, and the sound once, before the first. Memory doesn't grow with the video's
length, but for the index of its packets.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from heapq import merge
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from gpu_worker.contract.spec import RenderedVideo
from gpu_worker.contract.windows import FPS, WINDOW_FRAMES, Window
from gpu_worker.media import provenance

TIME_BASE = Fraction(1, FPS)
VIDEO_OPTIONS = {
    "preset": "veryfast",
    "crf": "20",
    "profile": "high",
    # One key frame a window, its first. Without B-frames the order of decoding is the order of showing,
    # so that windows encoded by different attempts join with no gap, no overlap and no edit list.
    # Without the macroblock tree the same frames always give the same bits: at widths that aren't multiples
    # of 128 it reads on behind the last block, whatever lies there.
    "x264-params": f"keyint={WINDOW_FRAMES}:scenecut=0:bframes=0:open-gop=0:mbtree=0",
}
SEGMENT_OPTIONS = {
    "movflags": "+cmaf+empty_moov+frag_custom+frag_discont+skip_trailer",
    "fflags": "+bitexact",
}
FILE_OPTIONS = {"movflags": "+faststart", "fflags": "+bitexact"}
JPEG_QUALITY = 88


def encode_segment(
    frames: npt.NDArray[np.uint8], window: Window, *, speech: Path, init: Path, segment: Path
) -> None:
    """Encode the new frames of one window as H.264 High, yuv420p, BT.709, and put what is said beside them.

    The same size and the same number of channels always give the same init section, byte for byte, whatever
    the window or attempt.

    Args:
        frames: RGB [window.num_frames, height, width, 3]; width and height even.
        window: Its place in the video, from which the time stamps start.
        speech: The encoded sound of the whole video; see `gpu_worker.media.audio_files`.
        init: Where to write the init section.
        segment: Where to write the fragment.
    """
    buffer = io.BytesIO()
    options = SEGMENT_OPTIONS | {"fragment_index": str(window.index + 1)}
    with (
        av.open(str(speech), "r") as spoken,
        av.open(buffer, "w", format="mp4", options=options) as container,
    ):
        stream = _add_video_stream(container, width=frames.shape[2], height=frames.shape[1])
        voice = container.add_stream_from_template(spoken.streams.audio[0])
        for packet in _spoken_within(window, spoken, voice):
            container.mux(packet)
        converter = VideoReformatter()
        for number, pixels in enumerate(frames, start=window.start):
            container.mux(stream.encode(_video_frame(converter, pixels, number)))
        container.mux(stream.encode(None))
    written = buffer.getvalue()
    header_size = _offset_of_box(written, b"moof")
    init.write_bytes(written[:header_size])
    segment.write_bytes(written[header_size:])


def mux_video(
    *,
    init: Path,
    segments: Sequence[Path],
    speech: Path,
    job_id: str,
    out: Path,
) -> None:
    """Write the finished MP4: the segments' own pictures and the encoded speech, its header in front.

    Args:
        init: The section that all segments share.
        segments: All windows of the video, in order.
        speech: The encoded sound; see `gpu_worker.media.audio_files`.
        job_id: Goes into the file's metadata.
        out: Where to write the video.
    """
    header = init.read_bytes()
    with (
        av.open(str(speech), "r") as spoken,
        av.open(str(out), "w", format="mp4", options=FILE_OPTIONS) as container,
    ):
        container.metadata["comment"] = provenance.comment(job_id)
        with av.open(io.BytesIO(header + segments[0].read_bytes()), "r") as first:
            picture = container.add_stream_from_template(first.streams.video[0])
        voice = container.add_stream_from_template(spoken.streams.audio[0])
        pictures = _picture_packets(header, segments, picture)
        for packet in merge(pictures, _sound_packets(spoken, voice), key=_seconds):
            container.mux(packet)
    provenance.append_xmp_box(out, provenance.xmp_packet(job_id))


def write_thumbnail(video: Path, out: Path, *, job_id: str) -> None:
    """Write the first frame of `video` as a JPEG, marked as machine-made like the video."""
    with av.open(str(video)) as container:
        first = next(container.decode(video=0))
        image = first.to_image(src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG)
    image.save(out, "JPEG", quality=JPEG_QUALITY, xmp=provenance.xmp_packet(job_id))


def describe_video(video: Path) -> RenderedVideo:
    """Measure a finished video."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        num_frames = sum(packet.size > 0 for packet in container.demux(stream))
        width, height = stream.width, stream.height
    with video.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return RenderedVideo(
        width=width,
        height=height,
        fps=FPS,
        num_frames=num_frames,
        duration_seconds=num_frames / FPS,
        size_bytes=video.stat().st_size,
        sha256=digest,
    )


def _add_video_stream(container: av.container.OutputContainer, *, width: int, height: int) -> VideoStream:
    stream = container.add_stream("libx264", rate=FPS, options=VIDEO_OPTIONS)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.thread_type = "FRAME"
    stream.codec_context.color_range = ColorRange.MPEG
    stream.codec_context.colorspace = Colorspace.ITU709
    stream.codec_context.color_primaries = ColorPrimaries.BT709
    stream.codec_context.color_trc = ColorTrc.BT709
    return stream


def _video_frame(converter: VideoReformatter, pixels: npt.NDArray[np.uint8], number: int) -> av.VideoFrame:
    frame = converter.reformat(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )
    frame.pts, frame.time_base = number, TIME_BASE
    return frame


def _offset_of_box(data: bytes, kind: bytes) -> int:
    """Where the first top-level box of this kind starts."""
    offset = 0
    while data[offset + 4 : offset + 8] != kind:
        offset += int.from_bytes(data[offset : offset + 4])
    return offset


def _spoken_within(window: Window, spoken: InputContainer, stream: AudioStream) -> Iterator[av.Packet]:
    """The packets of sound that begin within the window.

    What the encoder puts before the first sample is left out: players that don't read edit lists would show
    the picture as much earlier than the sound.
    """
    start, end = Fraction(window.start, FPS), Fraction(window.start + window.num_frames, FPS)
    source = spoken.streams.audio[0]
    assert source.time_base is not None
    spoken.seek(int(start / source.time_base), stream=source)
    for packet in _sound_packets(spoken, stream):
        if _seconds(packet) >= end:
            break
        if _seconds(packet) >= start:
            yield packet


def _sound_packets(spoken: InputContainer, stream: AudioStream) -> Iterator[av.Packet]:
    for packet in spoken.demux(audio=0):
        if packet.size:
            packet.stream = stream
            yield packet


def _picture_packets(header: bytes, segments: Sequence[Path], stream: VideoStream) -> Iterator[av.Packet]:
    for segment in segments:
        with av.open(io.BytesIO(header + segment.read_bytes()), "r") as container:
            for packet in container.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    yield packet


def _seconds(packet: av.Packet) -> Fraction:
    assert packet.pts is not None
    return packet.pts * packet.time_base
