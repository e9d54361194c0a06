"""How a video is cut into windows, the unit of rendering.

The model renders `num_frames` frames at a time: 81 in the published model, 33 in weights distilled from it.
Every window but the first begins with the last `motion_frames` frames of the one before, so it adds
`num_frames - motion_frames` new ones. The distilled weights also render `lead_in` frames before the video
begins, in which the picture stands still; they are never shown.
"""

from dataclasses import dataclass
from math import ceil

FPS = 25
SAMPLING_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLING_RATE // FPS


def video_length(num_samples: int, reference_compat: bool = False) -> int:
    """Frames of the video that covers `num_samples` of 16 kHz speech, the last one begun counted in full.

    With `reference_compat` the last begun frame is dropped, and so is now and then a whole one: the reference
    counts in floating point.
    """
    if reference_compat:
        return int(num_samples / SAMPLING_RATE * FPS)
    return ceil(num_samples / SAMPLES_PER_FRAME)


@dataclass(frozen=True)
class WindowPlan:
    """The windows of one video.

    Attributes:
        video_frames: Length of the whole video.
        num_frames: Frames that the model renders at a time, 1 more than a multiple of 4.
        motion_frames: How many frames a window shares with the one before, 1 more than a multiple of 4.
        lead_in: How many frames of the first window come before the video.
    """

    video_frames: int
    num_frames: int = 81
    motion_frames: int = 9
    lead_in: int = 0

    def __post_init__(self) -> None:
        if self.num_frames % 4 != 1 or self.motion_frames % 4 != 1:
            raise ValueError(
                "num_frames and motion_frames must be 1 more than a multiple of 4, "
                f"not {self.num_frames} and {self.motion_frames}"
            )
        if not self.motion_frames < self.num_frames:
            raise ValueError(
                f"{self.motion_frames} motion frames leave nothing new in {self.num_frames} frames"
            )
        if not 0 <= self.lead_in < self.num_frames:
            raise ValueError(
                f"a lead-in of {self.lead_in} frames leaves nothing to show of {self.num_frames}"
            )
        if self.video_frames < 1:
            raise ValueError("a video needs at least one frame")

    def __len__(self) -> int:
        return 1 + max(0, ceil((self.video_frames + self.lead_in - self.num_frames) / self.stride))

    @property
    def stride(self) -> int:
        """Frames from the start of one window to the start of the next."""
        return self.num_frames - self.motion_frames

    def start(self, index: int) -> int:
        """The video frame that is the first of window `index`, motion frames and lead-in included."""
        return index * self.stride - self.lead_in

    def new_frames(self, index: int) -> slice:
        """Which of the `num_frames` rendered frames of window `index` are new and inside the video."""
        first = self.lead_in if index == 0 else self.motion_frames
        return slice(first, min(self.num_frames, self.video_frames - self.start(index)))
