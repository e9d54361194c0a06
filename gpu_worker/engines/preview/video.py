"""The pictures of a reference video at 25 fps."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np

from gpu_worker.contract.windows import FPS
from gpu_worker.engines.preview.arrays import Picture


def pictures(path: Path) -> Iterator[Picture]:
    """For each frame at 25 fps, from 0 s on, the picture that the video shows at that time."""
    with av.open(str(path)) as container:
        decoded = container.decode(video=0)
        shown = next(decoded)
        start, due = _seconds(shown), 0
        for frame in decoded:
            until = (_seconds(frame) - start) * FPS
            if due < until:
                yield from [_rgb(shown)] * (ceil(until) - due)
                due = ceil(until)
            shown = frame
        yield _rgb(shown)


def _seconds(frame: av.VideoFrame) -> Fraction:
    assert frame.pts is not None, "a normalised MP4 has time stamps"
    assert frame.time_base is not None, "a normalised MP4 has time stamps"
    return frame.pts * frame.time_base


def _rgb(frame: av.VideoFrame) -> Picture:
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


class Reel:
    """A video that is only wound forwards; past its end the last picture stays."""

    def __init__(self, path: Path) -> None:
        self._pictures = pictures(path)
        self._picture = next(self._pictures)
        self._frame = 0

    def at(self, frame: int) -> Picture:
        """The picture for a frame of 25 fps, not before the one asked for last."""
        while self._frame < frame:
            self._picture = next(self._pictures, self._picture)
            self._frame += 1
        return self._picture
