from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from InfiniteTalk.reference import NoPictureError, StillReference, VideoReference
from InfiniteTalk.sizes import Size


def write_video(path: Path, rate: int, frames: int) -> Path:
    """A video whose frame number `i` is grey of value `4 * i`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.bit_rate = 4_000_000
        for index in range(frames):
            grey = np.full((32, 48, 3), 4 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey)))
        container.mux(stream.encode(None))
    return path


def frame_number(picture: Image.Image) -> int:
    return round(np.asarray(picture).mean() / 4)


@pytest.fixture(scope="module")
def video_of_50_frames_a_second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "fast.mp4", rate=50, frames=60)


def test_a_still_is_the_same_in_every_window() -> None:
    still = StillReference(Image.new("RGBA", (48, 32), (255, 0, 0, 255)))
    assert still.size == Size(32, 48)
    assert still.frame(0) == still.frame(72)
    assert still.frame(0).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("video_frame", [0, 1, 7, 25])
def test_a_video_shows_the_frame_of_that_moment(video_of_50_frames_a_second: Path, video_frame: int) -> None:
    reference = VideoReference(video_of_50_frames_a_second)
    assert reference.size == Size(32, 48)
    assert frame_number(reference.frame(video_frame)) == 2 * video_frame


def test_a_slow_video_shows_the_frame_that_is_on_screen_then(tmp_path: Path) -> None:
    reference = VideoReference(write_video(tmp_path / "slow.mp4", rate=10, frames=20))
    assert [frame_number(reference.frame(frame)) for frame in (0, 2, 3, 9, 10)] == [0, 0, 1, 3, 4]


def test_after_its_end_a_video_shows_its_last_frame(video_of_50_frames_a_second: Path) -> None:
    assert frame_number(VideoReference(video_of_50_frames_a_second).frame(500)) == 59


def test_the_published_code_counts_frames_instead(video_of_50_frames_a_second: Path) -> None:
    reference = VideoReference(video_of_50_frames_a_second, reference_compat=True)
    assert [frame_number(reference.frame(frame)) for frame in (0, 25, 500)] == [0, 25, 59]


def test_a_file_without_pictures_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
        frame.rate = 16_000
        container.mux(stream.encode(frame))
    with pytest.raises(NoPictureError):
        VideoReference(tmp_path / "sound.wav")
