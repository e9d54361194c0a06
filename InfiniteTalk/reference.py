"""What the video shows: a still, or a video that is to speak other words."""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Protocol

import av
from PIL import Image

from InfiniteTalk.sizes import Size
from InfiniteTalk.windows import FPS


class NoPictureError(ValueError):
    """The file holds no picture."""


class Reference(Protocol):
    """Where the picture comes from that a window is conditioned on."""

    is_still: bool
    """Whether it is the same for every window."""

    @property
    def size(self) -> Size: ...

    def frame(self, video_frame: int) -> Image.Image:
        """The RGB picture that belongs to this frame of the rendered video."""
        ...


class StillReference:
    """One picture for the whole video."""

    is_still = True

    def __init__(self, image: Image.Image) -> None:
        self.image = image.convert("RGB")

    @property
    def size(self) -> Size:
        return Size(self.image.height, self.image.width)

    def frame(self, video_frame: int) -> Image.Image:
        """The picture, whichever frame is asked for."""
        return self.image


class VideoReference:
    """A video, of which each window sees the frame that is shown when it begins; the last one lasts for ever.

    Args:
        path: A file with a video stream.
        reference_compat: Count frames instead of time, as the reference does: then a source of another rate
            than 25 frames a second runs ahead or behind.
    """

    is_still = False

    def __init__(self, path: str | Path, reference_compat: bool = False) -> None:
        self.path = str(path)
        self.reference_compat = reference_compat
        first = self.frame(0)
        self.size = Size(first.height, first.width)

    def frame(self, video_frame: int) -> Image.Image:
        """Decode the RGB picture that belongs to this frame of the rendered video, upright.

        Raises:
            NoPictureError: The file has no video stream, or an empty one.
            av.error.FFmpegError: The file can't be decoded.
        """
        with av.open(self.path, mode="r") as container:
            if not container.streams.video:
                raise NoPictureError("the file has no pictures")
            shown = self._find(container, container.streams.video[0], video_frame)
            if shown is None:
                raise NoPictureError("the file's video is empty")
            return shown.to_image().rotate(shown.rotation, expand=True)

    def _find(
        self, container: av.container.InputContainer, stream: av.VideoStream, video_frame: int
    ) -> av.VideoFrame | None:
        if self.reference_compat:
            return _last(islice(container.decode(stream), video_frame + 1))
        assert stream.time_base is not None
        wanted = (stream.start_time or 0) + int(video_frame / FPS / stream.time_base)
        container.seek(wanted, stream=stream)
        shown = None
        for frame in container.decode(stream):
            assert frame.pts is not None
            if shown is not None and frame.pts > wanted:
                break
            shown = frame
        return shown


class CroppedReference:
    """A part of another reference's pictures.

    Args:
        whole: What is cropped.
        box: Left, top, right and bottom in its pixels.
    """

    def __init__(self, whole: Reference, box: tuple[int, int, int, int]) -> None:
        self.is_still = whole.is_still
        self._whole, self._box = whole, box

    @property
    def size(self) -> Size:
        left, top, right, bottom = self._box
        return Size(bottom - top, right - left)

    def frame(self, video_frame: int) -> Image.Image:
        """The part of the picture that belongs to this frame of the rendered video."""
        return self._whole.frame(video_frame).crop(self._box)


def _last(frames: Iterable[av.VideoFrame]) -> av.VideoFrame | None:
    newest = deque(frames, maxlen=1)
    return newest[0] if newest else None
