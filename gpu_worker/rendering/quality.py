"""A look at what was rendered: black, frozen while somebody speaks, or drifting off the picture's colours.

What is found is said in the receipt; nothing is repaired here, because no look at pixels alone can tell a
fault from a dark picture of somebody who sits still. A check that fails is logged and counted in the receipt:
it never ends the job whose video it looks at.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpu_worker.contract.spec import SpeakingOrder
from gpu_worker.contract.windows import FPS, Window
from gpu_worker.media import audio_files

log = logging.getLogger(__name__)

EVERY_PIXEL, EVERY_FRAME = 8, 4
BLACK_LEVEL = 8
STILL_LEVELS = 0.3
"""Mean change of a pixel from one looked-at frame to the next, of 255, below which nothing moves."""
SPEECH_LEVEL = 0.01
"""Root mean square of a tenth of a second above which it counts as speech: -40 dBFS."""
SPOKEN_SHARE = 0.3


class QualityLog:
    """Looks at the windows of one attempt as they come, and remembers what it saw.

    Args:
        reference: The picture that the video starts from; None where it is a video itself.
        speech: One or two recordings.
        order: How they lie on the time line.
    """

    def __init__(self, reference: Path | None, speech: Sequence[Path], order: SpeakingOrder) -> None:
        self._reference = reference
        self._seen = self._failed = 0
        self._spoken: list[bool] = []
        self._black: list[int] = []
        self._frozen: list[int] = []
        self._drift = 0.0
        self._attempt("speech", lambda: self._listen(speech, order))

    def look(self, window: Window, frames: npt.NDArray[np.uint8]) -> None:
        """Look at a sample of a window's frames, RGB [n, height, width, 3]."""
        self._seen += 1
        sample = frames[::EVERY_FRAME, ::EVERY_PIXEL, ::EVERY_PIXEL].astype(np.float32)
        self._attempt("brightness", lambda: self._look_for_black(window, sample))
        self._attempt("motion", lambda: self._look_for_stillness(window, sample))
        self._attempt("colour", lambda: self._compare_colours(sample, frames.shape[1], frames.shape[2]))

    def findings(self) -> dict[str, Any]:
        """For the receipt: windows by number, and the largest shift of a channel's mean, 0 to 1.

        An attempt that goes on for another one has seen only the last windows of the video.
        """
        return {
            "windows_seen": self._seen,
            "black_windows": self._black,
            "frozen_windows": self._frozen,
            "colour_drift": None if self._reference is None else round(self._drift, 4),
            "checks_failed": self._failed,
        }

    def _attempt(self, check: str, run: Callable[[], None]) -> None:
        try:
            run()
        except Exception:
            self._failed += 1
            log.exception("the quality check of the %s failed; the render goes on", check)

    def _listen(self, speech: Sequence[Path], order: SpeakingOrder) -> None:
        self._spoken = [
            bool(np.sqrt(np.mean(b * b)) > SPEECH_LEVEL) for b in audio_files.mixed(speech, order)
        ]

    def _look_for_black(self, window: Window, sample: npt.NDArray[np.float32]) -> None:
        if sample.max() < BLACK_LEVEL:
            self._black.append(window.index)

    def _look_for_stillness(self, window: Window, sample: npt.NDArray[np.float32]) -> None:
        if len(sample) > 1 and np.abs(np.diff(sample, axis=0)).mean() < STILL_LEVELS and self._speaks(window):
            self._frozen.append(window.index)

    def _compare_colours(self, sample: npt.NDArray[np.float32], height: int, width: int) -> None:
        if self._reference is None:
            return
        expected = _mean_colour(self._reference, height=height, width=width)
        self._drift = max(self._drift, float(np.abs(sample.mean(axis=(0, 1, 2)) - expected).max() / 255))

    def _speaks(self, window: Window) -> bool:
        tenths = slice(window.start * 10 // FPS, (window.start + window.num_frames) * 10 // FPS + 1)
        return bool(np.mean(self._spoken[tenths] or [False]) > SPOKEN_SHARE)


def shown_part(picture: tuple[int, int], video: tuple[int, int]) -> tuple[float, float, float, float]:
    """The middle of a picture that a video of another shape shows.

    Args:
        picture: Width and height, in pixels.
        video: Width and height, in pixels.

    Returns:
        Left, top, right and bottom in pixels of the picture, never beyond its edges: quotients are rounded,
        so the side that fits exactly would otherwise often be a fraction of a billionth too long.
    """
    (width, height), (video_width, video_height) = picture, video
    scale = max(video_width / width, video_height / height)
    left = max(0.0, (width - video_width / scale) / 2)
    top = max(0.0, (height - video_height / scale) / 2)
    return left, top, width - left, height - top


def _mean_colour(picture: Path, *, height: int, width: int) -> npt.NDArray[np.float32]:
    with Image.open(picture) as image:
        box = shown_part(image.size, (width, height))
        part = image.convert("RGB").resize((32, 32), box=box)
    return np.asarray(part, np.float32).mean(axis=(0, 1))
