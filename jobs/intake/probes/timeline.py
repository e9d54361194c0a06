"""Keeps the sounds of a recording at the times that its time stamps say."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np

TOLERANCE = Fraction(1, 25)
"""Seconds: one frame of the video. Below lie the rounding of time stamps and the jitter of recorders."""
MAX_OVERLAP = 10
"""Seconds. What jumps back further begins a new part, as where two files were joined; it is not cut."""
BLOCK_SAMPLES = 4096
UNSIGNED_SILENCE = 128


def keep_time(frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    """The frames without gaps and overlaps: silence fills the ones, the later sound is cut at the others.

    The first frame is where the recording begins, whatever its time stamp.
    """
    due: Fraction | None = None
    for frame in frames:
        start = _start_of(frame)
        if due is None or start is None or start < due - MAX_OVERLAP:
            due = start if start is not None else due
        elif start > due + TOLERANCE:
            yield from _silence(frame, round((start - due) * frame.sample_rate))
            due = start
        elif start < due - TOLERANCE:
            covered = round((due - start) * frame.sample_rate)
            if covered >= frame.samples:
                continue
            frame = _without_start(frame, covered)
        yield frame
        if due is not None:
            due += Fraction(frame.samples, frame.sample_rate)


def _start_of(frame: av.AudioFrame) -> Fraction | None:
    """In seconds; None for a frame without a time stamp."""
    return None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base


def _silence(like: av.AudioFrame, num_samples: int) -> Iterator[av.AudioFrame]:
    rows, per_sample = _shape(like)
    kind = like.to_ndarray().dtype
    for first in range(0, num_samples, BLOCK_SAMPLES):
        columns = min(BLOCK_SAMPLES, num_samples - first) * per_sample
        silence = np.full((rows, columns), UNSIGNED_SILENCE if kind == np.uint8 else 0, kind)
        yield _frame(silence, like)


def _without_start(frame: av.AudioFrame, num_samples: int) -> av.AudioFrame:
    _, per_sample = _shape(frame)
    return _frame(frame.to_ndarray()[:, num_samples * per_sample :], frame)


def _shape(frame: av.AudioFrame) -> tuple[int, int]:
    """Rows of the frame's array, and columns for each sample: channels lie in planes or in turn."""
    channels = frame.layout.nb_channels
    return (channels, 1) if frame.format.is_planar else (1, channels)


def _frame(samples: np.ndarray, like: av.AudioFrame) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), like.format.name, like.layout.name)
    frame.sample_rate = like.sample_rate
    return frame
