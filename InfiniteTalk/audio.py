"""Speech on its way to the transformer: loading, speakers, and the frames that each video frame hears."""

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import av
import numpy as np
import numpy.typing as npt
import soxr
import torch

from InfiniteTalk.windows import SAMPLING_RATE

Speech = npt.NDArray[np.floating]
SpeakingOrder = Literal["together", "first_then_second", "second_then_first"]

AUDIO_WINDOW = 5
"""How many frames of speech a video frame listens to: itself and two on either side."""


class NoSoundError(ValueError):
    """The file holds no sound."""


class SpeechEmbeddings(Protocol):
    """Embeddings of one speaker's speech, 25 a second; a tensor `[L, layers, width]` is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: torch.Tensor, /) -> torch.Tensor:
        """Embeddings `[*frames.shape, layers, width]` of the frames with these indices."""
        ...


def load_speech(path: str | Path | BinaryIO, sampling_rate: int = SAMPLING_RATE) -> npt.NDArray[np.float32]:
    """Read the sound of an audio or video file as mono float32 [n] in [-1, 1] at `sampling_rate`.

    Channels are averaged; the resampler is soxr's high quality. The file is decoded piece by piece, so that
    only the result is held in memory (64 kB a second at 16 kHz).

    Raises:
        NoSoundError: The file has no audio stream, or an empty one.
        av.error.FFmpegError: The file can't be decoded.
    """
    with av.open(str(path) if isinstance(path, Path) else path, mode="r") as container:
        if not container.streams.audio:
            raise NoSoundError("the file has no sound")
        stream = container.streams.audio[0]
        resampler = soxr.ResampleStream(stream.rate, sampling_rate, 1, dtype="float32", quality="HQ")
        num_samples, pieces = 0, []
        for mono in _decode_mono(container, stream):
            num_samples += len(mono)
            pieces.append(resampler.resample_chunk(mono))
        pieces.append(resampler.resample_chunk(np.empty(0, np.float32), last=True))
        if num_samples == 0:
            raise NoSoundError("the file's sound is empty")
        return _fit(np.concatenate(pieces), ceil(num_samples * sampling_rate / stream.rate))


def combine_speakers(
    first: Speech | None, second: Speech | None, order: SpeakingOrder = "together"
) -> tuple[Speech, Speech]:
    """Lay the speech of two people on one time line; both results have the same length.

    Args:
        first: What person 1 says, mono [n1]; None if they keep silent.
        second: What person 2 says, mono [n2].
        order: `together`: from the start, the shorter one followed by silence. Else one after the other; a
            silent person then takes as long as the other speaks.
    """
    if first is None:
        first = np.zeros_like(_speaking(second))
    if second is None:
        second = np.zeros_like(first)
    if order == "together":
        length = max(len(first), len(second))
        return _fit(first, length), _fit(second, length)
    before_first = len(second) if order == "second_then_first" else 0
    before_second = len(first) if order == "first_then_second" else 0
    length = len(first) + len(second)
    return (
        _fit(np.pad(first, (before_first, 0)), length),
        _fit(np.pad(second, (before_second, 0)), length),
    )


def audio_windows(
    embeddings: Sequence[SpeechEmbeddings], start: int, num_frames: int, *, mirror_end: bool = True
) -> torch.Tensor:
    """Give every video frame of a window its five frames of speech.

    Frame `f` of the window gets the embeddings of frames `start + f - 2 ... start + f + 2`. Before the speech
    the first frame is repeated, after it the last. With `mirror_end` a window that reaches the end of the
    speech goes on with its mirror image instead, so that the frames there, which are cut from the video, move
    as speech does.

    Args:
        embeddings: One for each speaker.
        start: The video frame at which the window starts.
        num_frames: Frames of the window, F.
        mirror_end: How the speech goes on after its end; distilled weights were trained without.

    Returns:
        Tensor [P, F, 5, layers, width].
    """
    offsets = torch.arange(AUDIO_WINDOW) - AUDIO_WINDOW // 2
    frames = start + torch.arange(num_frames)[:, None] + offsets
    windows = []
    for speaker in embeddings:
        length = len(speaker)
        ends = mirror_end and start + num_frames >= length
        windows.append(speaker[_mirror(frames, length) if ends else frames.clamp(0, length - 1)])
    return torch.stack(windows)


def _decode_mono(
    container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[npt.NDArray[np.float32]]:
    to_float = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        for piece in to_float.resample(frame):
            yield piece.to_ndarray().mean(axis=0)
    for piece in to_float.resample(None):
        yield piece.to_ndarray().mean(axis=0)


def _mirror(frames: torch.Tensor, length: int) -> torch.Tensor:
    position = frames.clamp(min=0) % (2 * length)
    return torch.where(position < length, position, 2 * length - 1 - position)


def _speaking(speech: Speech | None) -> Speech:
    if speech is None:
        raise ValueError("at least one of the two must speak")
    return speech


def _fit(speech: Speech, length: int) -> Speech:
    return np.pad(speech[:length], (0, max(0, length - len(speech))))
