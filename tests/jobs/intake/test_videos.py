"""Every video becomes upright H.264 at 25 frames a second without sound, or is refused by its fault."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gpu_worker.engines.preview.video import Reel
from jobs.intake.normalize import IntakeError, IntakeLimits, NormalisedFile, probe_video
from jobs.intake.probes import video
from jobs.intake.probes.containers import open_container
from tests.jobs.taking_in import accepted, refused
from tests.media_samples import moving_picture, portrait, read_video, tone, write_sound, write_video

RED, LIME, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def still(num_frames: int, width: int = 320, height: int = 240) -> np.ndarray:
    return np.repeat(np.asarray(portrait(width, height))[None], num_frames, axis=0)


def quarters(file: NormalisedFile) -> np.ndarray:
    """The colours in the middle of the first frame's quarters: above left and right, below left and right."""
    first = read_video(file.path)[0].astype(int)
    assert first.shape == (file.height, file.width, 3)
    high, wide = file.height // 4, file.width // 4
    return first[[high, high, -high, -high], [wide, -wide, wide, -wide]]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("v.mp4", "libx264"),
        ("v.mov", "libx264"),
        ("v.webm", "libvpx-vp9"),
        ("v.mkv", "libx264"),
        ("v.mp4", "mpeg4"),
    ],
)
def test_each_promised_format_is_accepted_whatever_its_name(tmp_path: Path, name: str, codec: str) -> None:
    made = write_video(tmp_path / name, still(10), codec=codec)

    file = accepted(probe_video, made.rename(tmp_path / "upload.gif"))

    assert (file.width, file.height, file.duration_seconds) == (320, 240, 0.4)
    assert np.abs(quarters(file) - [RED, LIME, BLUE, YELLOW]).max() < 30


def test_the_copy_is_h264_in_bt709_without_sound(tmp_path: Path) -> None:
    upload = write_video(tmp_path / "upload.mp4", still(10), sound=tone(300, 0.4))

    with av.open(str(accepted(probe_video, upload).path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, container.streams.video[0].average_rate) == ("h264", "yuv420p", 25)
        assert (codec.color_range, codec.colorspace, codec.color_primaries, codec.color_trc) == (1, 1, 1, 1)


@pytest.mark.parametrize(("fps", "num_frames"), [(12, 12), (24, 24), (25, 25), (30, 30), (50, 50), (60, 60)])
def test_any_frame_rate_becomes_25_at_the_same_speed(tmp_path: Path, fps: int, num_frames: int) -> None:
    brightness = np.linspace(30, 220, num_frames).astype(np.uint8)
    frames = np.broadcast_to(brightness[:, None, None, None], (num_frames, 144, 160, 3))

    file = accepted(probe_video, write_video(tmp_path / "upload.mp4", frames, fps=fps))

    assert file.duration_seconds == 1
    assert len(read_video(file.path)) <= 25
    assert int(Reel(file.path).at(12)[72, 80, 0]) == pytest.approx(125, abs=12)


def test_a_picture_that_stands_is_encoded_once(tmp_path: Path) -> None:
    frames = np.stack([np.full((144, 160, 3), value, np.uint8) for value in (40, 120, 200)])
    with av.open(str(tmp_path / "upload.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 144, "yuv420p"
        for pixels, seconds in zip(frames, (0, 20, 40), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = seconds * 25, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    file = accepted(probe_video, tmp_path / "upload.mkv")

    assert file.duration_seconds == pytest.approx(40, abs=0.1)
    assert len(read_video(file.path)) == 3
    reel = Reel(file.path)
    shown = [int(reel.at(frame)[72, 80, 0]) for frame in (0, 499, 501, 999, 1001)]
    assert shown == pytest.approx([40, 40, 120, 120, 200], abs=6)


@pytest.mark.parametrize("name", ["upload.mp4", "upload.mkv"])
def test_more_pixels_and_frames_than_the_budget_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    upload = write_video(tmp_path / name, still(30))
    limits = IntakeLimits(max_speech_seconds=2)
    monkeypatch.setattr(video, "BASE_WORK", 29 * 320 * 240 - 2 * video.WORK_PER_SECOND)

    with pytest.raises(IntakeError, match="too many pixels and frames"):
        video.probe_video(upload, tmp_path / "copy", limits)


@pytest.mark.parametrize(
    ("turned", "shown"),
    [
        (90, [LIME, YELLOW, RED, BLUE]),
        (180, [YELLOW, BLUE, LIME, RED]),
        (-90, [BLUE, RED, YELLOW, LIME]),
    ],
)
def test_a_video_turned_by_its_metadata_becomes_upright(
    tmp_path: Path, turned: int, shown: list[tuple[int, int, int]]
) -> None:
    file = accepted(probe_video, write_video(tmp_path / "upload.mp4", still(3), turned=turned))

    assert (file.width, file.height) == ((320, 240) if turned == 180 else (240, 320))
    assert np.abs(quarters(file) - shown).max() < 30


def test_pixels_become_square(tmp_path: Path) -> None:
    upload = write_video(tmp_path / "upload.mp4", still(3), pixel_aspect=Fraction(3, 2))

    file = accepted(probe_video, upload)

    assert (file.width, file.height) == (480, 240)


def test_a_large_video_is_scaled_down_in_its_shape(tmp_path: Path) -> None:
    file = accepted(probe_video, write_video(tmp_path / "upload.mp4", still(3, 1920, 1080)))

    assert (file.width, file.height) == (1280, 720)


def test_high_dynamic_range_is_mapped_and_not_left_pale(tmp_path: Path) -> None:
    white_of_203_nits = 64 + round(876 * 0.5807)
    frame = av.VideoFrame(256, 256, "yuv420p10le")
    for plane, value in zip(frame.planes, (white_of_203_nits, 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, np.uint16))
    frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = 9, 1, 9, 16
    with av.open(str(tmp_path / "upload.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p10le"
        codec = stream.codec_context
        codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc = 9, 1, 9, 16
        container.mux(stream.encode(frame) + stream.encode(None))

    assert read_video(accepted(probe_video, tmp_path / "upload.mp4").path).min() > 230


@pytest.mark.parametrize(("height", "red"), [(720, (63, 102, 240)), (480, (81, 90, 240))])
def test_unlabelled_colours_are_read_by_the_height_as_players_do(
    tmp_path: Path, height: int, red: tuple[int, int, int]
) -> None:
    frame = av.VideoFrame(640, height, "yuv420p")
    for plane, value in zip(frame.planes, red, strict=True):
        plane.update(np.full(plane.buffer_size, value, np.uint8))
    with av.open(str(tmp_path / "upload.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, height, "yuv420p"
        container.mux(stream.encode(frame) + stream.encode(None))

    assert np.abs(quarters(accepted(probe_video, tmp_path / "upload.mp4")) - RED).max() < 12


def test_no_more_is_taken_than_the_longest_speech_can_use(tmp_path: Path) -> None:
    upload = write_video(tmp_path / "upload.mp4", still(60))

    assert accepted(probe_video, upload, IntakeLimits(max_speech_seconds=1)).duration_seconds == 1


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    assert accepted(probe_video, write_video(tmp_path / "upload.mp4", still(1))).duration_seconds == 0.04


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_an_mp4_cut_before_its_index_is_refused(tmp_path: Path, share: float) -> None:
    upload = write_video(tmp_path / "upload.mp4", moving_picture(50, width=320, height=240))
    upload.write_bytes(upload.read_bytes()[: int(upload.stat().st_size * share)])

    assert refused(probe_video, upload) == "video_unreadable"


def test_a_video_that_shows_too_little_is_refused(tmp_path: Path) -> None:
    assert (
        refused(probe_video, write_video(tmp_path / "upload.mp4", still(3, 320, 120))) == "video_unreadable"
    )


def test_a_video_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    upload = write_video(tmp_path / "upload.mp4", still(1, 5000, 2000))

    assert refused(probe_video, upload) == "video_unreadable"


def test_a_recording_with_a_cover_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "upload.mkv"), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 320, 240, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(still(1)[0], "rgb24").reformat(format="yuvj420p")
        container.mux(cover.encode(frame) + cover.encode(None))

    assert refused(probe_video, tmp_path / "upload.mkv") == "video_unreadable"


def test_a_track_that_nobody_wants_is_decoded_by_no_decoder_that_is_not_accepted(tmp_path: Path) -> None:
    """What FFmpeg knows of an MJPEG track's pixels it can only know from decoding one of its pictures."""
    with av.open(str(tmp_path / "upload.mkv"), "w") as container:
        tracks = [container.add_stream(codec, rate=25) for codec in ("libx264", "mjpeg")]
        for track, form in zip(tracks, ("yuv420p", "yuvj420p"), strict=True):
            track.width, track.height, track.pix_fmt = 320, 240, form
        for track in tracks:
            frame = av.VideoFrame.from_ndarray(still(1)[0], "rgb24").reformat(format=track.pix_fmt)
            container.mux(track.encode(frame) + track.encode(None))

    with open_container(tmp_path / "upload.mkv", video.DECODERS, "video_unreadable") as container:
        known = [track.pix_fmt for track in container.streams.video]

    assert known == ["yuv420p", None]
    assert accepted(probe_video, tmp_path / "upload.mkv").width == 320


def test_a_recording_is_no_video(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.m4a", tone(300, 1), codec="aac")

    assert refused(probe_video, upload) == "video_unreadable"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_picture_is_no_video(tmp_path: Path, form: str) -> None:
    portrait().save(tmp_path / "upload.mp4", form)

    assert refused(probe_video, tmp_path / "upload.mp4") == "video_unreadable"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "This is no video.",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\nVIDEO\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile 'VIDEO'\n",
        "RIFF....AVI LIST",
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, text: str) -> None:
    video = write_video(tmp_path / "video.mp4", still(3))
    (tmp_path / "upload.mp4").write_text(text.replace("VIDEO", str(video)))

    assert refused(probe_video, tmp_path / "upload.mp4") == "video_unreadable"
