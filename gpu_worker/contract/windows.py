"""How a video is cut into windows, the unit of rendering.

InfiniteTalk renders 81 frames at a time; every window but the first begins with the last 9 frames of the one
before (the motion frames), so it adds 72 new ones. Weights that were distilled from it render 33 frames, 5 of
them motion frames, and begin with a lead-in that is never shown. Which shape a job's windows have is part of
its preset. All engines share the plan, so that progress, segments and resuming mean the same on a CPU and on
a GPU.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

FPS = 25
WINDOW_FRAMES = 81
"""Of the longest windows."""


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


@dataclass(frozen=True)
class WindowShape:
    """How long windows are, and what they share.

    Attributes:
        num_frames: Frames that are rendered at a time.
        motion_frames: How many of them a window shares with the one before.
        lead_in: How many frames of the first window come before the video.
    """

    num_frames: int
    motion_frames: int
    lead_in: int = 0

    def plan(self, num_frames: int) -> tuple[Window, ...]:
        """The windows of a video, in order; their new frames add up to its `num_frames`."""
        first_frames = self.num_frames - self.lead_in
        stride = self.num_frames - self.motion_frames
        first = Window(0, 0, min(num_frames, first_frames))
        starts = range(first_frames, num_frames, stride)
        later = (
            Window(index, start, min(stride, num_frames - start))
            for index, start in enumerate(starts, start=1)
        )
        return (first, *later)

    @property
    def longest_seconds(self) -> float:
        """What one window adds to the video at most."""
        return (self.num_frames - self.lead_in) / FPS


STANDARD_WINDOWS = WindowShape(WINDOW_FRAMES, 9)
SHORT_WINDOWS = WindowShape(33, 5, lead_in=5)
