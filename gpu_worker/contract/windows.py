"""How a video is cut into windows, the unit of rendering.

InfiniteTalk renders 81 frames at a time; every window but the first begins with the last
9 frames of the one before (the motion frames), so it adds 72 new ones. Both engines share
this plan, so that progress, segments and resuming mean the same on a CPU and on a GPU.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

FPS = 25
WINDOW_FRAMES = 81
MOTION_FRAMES = 9


@dataclass(frozen=True)
class Window:
    """The new frames that one window adds to the video.

    Attributes:
        index: 0 for the first window.
        start: Index of its first new frame in the video.
        num_frames: How many new frames of the video it holds; the last window is cut to the video's end.
    """

    index: int
    start: int
    num_frames: int

    @property
    def duration_seconds(self) -> float:
        return self.num_frames / FPS


def frames_of(num_samples: int, sampling_rate: int) -> int:
    """Frames that cover a sound of `num_samples`: its length at 25 fps, rounded up, at least one."""
    return max(1, ceil(Fraction(num_samples * FPS, sampling_rate)))


def plan(num_frames: int) -> tuple[Window, ...]:
    """The windows of a video of `num_frames` frames, in order; their new frames add up to `num_frames`."""
    first = Window(0, 0, min(num_frames, WINDOW_FRAMES))
    starts = range(WINDOW_FRAMES, num_frames, WINDOW_FRAMES - MOTION_FRAMES)
    later = (
        Window(index, start, min(WINDOW_FRAMES - MOTION_FRAMES, num_frames - start))
        for index, start in enumerate(starts, start=1)
    )
    return (first, *later)
