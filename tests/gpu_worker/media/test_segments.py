"""Windows become fragments that join into one stream."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gpu_worker.contract.windows import STANDARD_WINDOWS, Window
from gpu_worker.media import video_files
from tests.gpu_worker.rendered_videos import encoded, render
from tests.media_samples import clicks, moving_picture, read_sound, tone, write_sound


def encode(folder: Path, frames: np.ndarray, window: Window) -> tuple[bytes, bytes]:
    init, segment = folder / "init.mp4", folder / "segment.m4s"
    speech = encoded(folder, [write_sound(folder / "tone.flac", tone(220, 1.0))])
    video_files.encode_segment(frames, window, speech=speech, init=init, segment=segment)
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

    for window, segment in zip(STANDARD_WINDOWS.plan(154), rendered.segments, strict=True):
        with av.open(io.BytesIO(rendered.init.read_bytes() + segment.read_bytes())) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [packet.is_keyframe for packet in packets] == [True] + [False] * (window.num_frames - 1)
        assert packets[0].pts * packets[0].time_base == Fraction(window.start, 25)


@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_what_is_said_is_heard_with_each_window(tmp_path: Path, layout: str) -> None:
    """Joined, without a gap, and in step with the pictures: players read no edit lists in segments."""
    said = clicks([0.5, 3.239, 3.241, 6.0], 6.16)
    recording = said if layout == "mono" else np.stack([said, said], axis=1)
    speech = encoded(tmp_path, [write_sound(tmp_path / "speech.flac", recording)])

    (joined := tmp_path / "joined.mp4").write_bytes(render(tmp_path, 154, speech=speech).joined())

    with av.open(str(joined)) as container:
        starts = [packet.pts for packet in container.demux(audio=0) if packet.size]
    assert starts == list(range(0, len(said), 1024))
    heard = read_sound(joined)
    assert heard.shape == (len(starts) * 1024, 1 if layout == "mono" else 2)
    assert np.abs(heard[: len(said), 0] - said).max() < 0.1


def test_windows_of_different_attempts_join_without_a_click(tmp_path: Path) -> None:
    """Each attempt encodes the sound anew."""
    said = tone(300, 6.12, level=0.5)
    recording = write_sound(tmp_path / "speech.flac", said)
    first, second = tmp_path / "first", tmp_path / "second"
    for attempt in (first, second):
        attempt.mkdir()
        render(attempt, 153, speech=encoded(attempt, [recording]))

    parts = (first / "init-0.mp4", first / "segment-0.m4s", second / "segment-1.m4s")
    (joined := tmp_path / "joined.mp4").write_bytes(b"".join(part.read_bytes() for part in parts))

    # The first block of sound has nothing to overlap with.
    assert np.abs(read_sound(joined)[1024 : len(said), 0] - said[1024:]).max() < 0.01


def test_a_window_after_the_last_sound_is_a_picture_alone(tmp_path: Path) -> None:
    """The speech ends five samples into the second window, in a block that began within the first."""
    speech = encoded(tmp_path, [write_sound(tmp_path / "speech.flac", tone(300, 3.24 + 5 / 48_000))])

    last = render(tmp_path, 82, speech=speech).segments[1]

    with av.open(io.BytesIO((tmp_path / "init-0.mp4").read_bytes() + last.read_bytes())) as container:
        assert [packet.stream.type for packet in container.demux() if packet.size] == ["video"]


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
