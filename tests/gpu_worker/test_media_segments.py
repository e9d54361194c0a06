"""Windows become fragments that join into one stream."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gpu_worker import media
from gpu_worker.contract.windows import Window, plan
from tests.gpu_worker.rendered_videos import render
from tests.media_samples import moving_picture


def encode(folder: Path, frames: np.ndarray, window: Window) -> tuple[bytes, bytes]:
    init, segment = folder / "init.mp4", folder / "segment.m4s"
    media.encode_segment(frames, window, init=init, segment=segment)
    return init.read_bytes(), segment.read_bytes()


@pytest.mark.parametrize("num_frames", [1, 80, 81, 82, 154, 170])
def test_joined_windows_play_as_one_stream(tmp_path: Path, num_frames: int) -> None:
    joined = render(tmp_path, num_frames).joined()

    with av.open(io.BytesIO(joined)) as container:
        shown = [frame.pts * frame.time_base * 25 for frame in container.decode(video=0)]
    with av.open(io.BytesIO(joined)) as container:
        decoded = [packet.dts * packet.time_base * 25 for packet in container.demux(video=0) if packet.size]
    assert shown == decoded == list(range(num_frames))


def test_each_segment_holds_the_frames_of_its_window_and_starts_with_a_key_frame(tmp_path: Path) -> None:
    rendered = render(tmp_path, 154)

    for window, segment in zip(plan(154), rendered.segments, strict=True):
        with av.open(io.BytesIO(rendered.init.read_bytes() + segment.read_bytes())) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [packet.is_keyframe for packet in packets] == [True] + [False] * (window.num_frames - 1)
        assert packets[0].pts * packets[0].time_base == Fraction(window.start, 25)


def test_every_window_has_the_same_init_section(tmp_path: Path) -> None:
    render(tmp_path, 154)

    assert len({path.read_bytes() for path in tmp_path.glob("init-*.mp4")}) == 1


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    frames = moving_picture(5)

    assert encode(tmp_path, frames, Window(0, 0, 5)) == encode(tmp_path, frames, Window(0, 0, 5))


def test_the_picture_is_h264_high_in_bt709(tmp_path: Path) -> None:
    with av.open(io.BytesIO(render(tmp_path, 3).joined())) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        assert (codec.name, codec.profile, codec.pix_fmt) == ("h264", "High", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 25)
        assert (codec.color_range, codec.colorspace, codec.color_primaries, codec.color_trc) == (1, 1, 1, 1)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (224, 172, 140)])
def test_colours_survive_when_read_as_bt709(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    frames = np.broadcast_to(np.uint8(colour), (1, 48, 64, 3))

    with av.open(io.BytesIO(b"".join(encode(tmp_path, frames, Window(0, 0, 1))))) as container:
        planes = next(container.decode(video=0)).to_ndarray()
    luma, blue, red = planes[20, 20], planes[50].reshape(2, 32)[0, 10], planes[62].reshape(2, 32)[0, 10]
    y, pb, pr = (luma - 16.0) / 219, (blue - 128.0) / 224, (red - 128.0) / 224
    decoded = [y + 1.5748 * pr, y - 0.1873 * pb - 0.4681 * pr, y + 1.8556 * pb]
    assert np.array(decoded) * 255 == pytest.approx(colour, abs=4)
