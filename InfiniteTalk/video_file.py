"""Writes the video of a render with its sound, as the windows come: memory does not grow with the length.

The sound is what the speakers said, at its own loudness and in stereo; nobody hears the model's copy of it,
which has 16 kHz and is brought to one loudness.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, zip_longest
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from InfiniteTalk.audio import SpeakingOrder
from InfiniteTalk.sizes import Size
from InfiniteTalk.windows import FPS

SAMPLING_RATE = 48_000
BLOCK_SAMPLES = SAMPLING_RATE // 10

Block = npt.NDArray[np.float32]
"""A tenth of a second of sound (the last one of a recording less), [2, samples] in [-1, 1]."""


def mixed_speech(paths: Sequence[Path | None], order: SpeakingOrder) -> Iterator[Block]:
    """What one or two people say, on one time line.

    Args:
        paths: Their recordings (audio or video files); None for one who is silent.
        order: How two recordings lie on the time line.
    """
    voices = [path for path in paths if path is not None]
    if order == "together":
        return (_sum(blocks) for blocks in zip_longest(*map(_blocks, voices)))
    if order == "second_then_first":
        voices.reverse()
    return chain.from_iterable(map(_blocks, voices))


def _sum(blocks: Sequence[Block | None]) -> Block:
    present = [block for block in blocks if block is not None]
    total = np.zeros((2, max(block.shape[1] for block in present)), np.float32)
    for block in present:
        total[:, : block.shape[1]] += block
    return total.clip(-1, 1)


def _blocks(path: Path) -> Iterator[Block]:
    with av.open(str(path)) as container:
        # FFmpeg would turn a mono recording down by 3 dB on its way to stereo.
        layout = "mono" if container.streams.audio[0].codec_context.channels == 1 else "stereo"
        resampler = av.AudioResampler("fltp", layout, SAMPLING_RATE, BLOCK_SAMPLES)
        for frame in chain(container.decode(audio=0), [None]):
            for piece in resampler.resample(frame):
                yield np.broadcast_to(piece.to_ndarray(), (2, piece.samples))


class VideoWriter:
    """An MP4 being written: H.264 at 25 frames a second, and AAC as long as the picture."""

    def __init__(self, path: Path, size: Size, sound: Iterator[Block]) -> None:
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._video = self._container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        self._video.width, self._video.height, self._video.pix_fmt = size.width, size.height, "yuv420p"
        self._video.codec_context.color_range = ColorRange.MPEG
        self._video.codec_context.colorspace = Colorspace.ITU709
        self._video.codec_context.color_primaries = ColorPrimaries.BT709
        self._video.codec_context.color_trc = ColorTrc.BT709
        self._audio = self._container.add_stream("aac", rate=SAMPLING_RATE, layout="stereo")
        self._sound = sound
        self._unwritten = np.zeros((2, 0), np.float32)
        self._samples = 0
        self.num_frames = 0

    def write(self, frames: npt.NDArray[np.uint8]) -> None:
        """Append RGB frames [n, H, W, 3] and the sound that belongs to them."""
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts, frame.time_base = self.num_frames, Fraction(1, FPS)
            self._container.mux(self._video.encode(frame))
            self.num_frames += 1
        self._write_sound(self.num_frames * SAMPLING_RATE // FPS)

    def _write_sound(self, end: int) -> None:
        """Append sound until sample `end`; silence after the recording's own end."""
        while self._samples < end:
            if not self._unwritten.shape[1]:
                self._unwritten = next(self._sound, np.zeros((2, BLOCK_SAMPLES), np.float32))
            length = min(end - self._samples, self._unwritten.shape[1])
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(self._unwritten[:, :length]), "fltp", "stereo"
            )
            frame.sample_rate, frame.pts, frame.time_base = (
                SAMPLING_RATE,
                self._samples,
                Fraction(1, SAMPLING_RATE),
            )
            self._container.mux(self._audio.encode(frame))
            self._unwritten = self._unwritten[:, length:]
            self._samples += length

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file, with what was written so far if the render broke off."""
        for stream in (self._video, self._audio):
            self._container.mux(stream.encode(None))
        self._container.close()
