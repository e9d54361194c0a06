"""Every recording becomes a FLAC of the same sound, or is refused by its fault."""

import hashlib
import shutil
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from jobs.intake.normalize import IntakeLimits, probe_speech
from tests.jobs.taking_in import LIMITS, accepted, refused
from tests.media_samples import moving_picture, portrait, read_sound, tone, write_sound, write_video
from tests.mp4_boxes import boxes

FILES = Path(__file__).parent / "files"


def write_floats(path: Path, samples: np.ndarray, rate: int = 48_000) -> Path:
    """A WAV of 32-bit floats, exactly these."""
    return write_sound(path, samples, rate=rate, codec="pcm_f32le")


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("speech.wav", "pcm_s16le"),
        ("speech.wav", "pcm_s24le"),
        ("speech.wav", "pcm_f32le"),
        ("speech.wav", "pcm_u8"),
        ("speech.wav", "pcm_mulaw"),
        ("speech.mp3", "libmp3lame"),
        ("speech.m4a", "aac"),
        ("speech.m4a", "alac"),
        ("speech.aac", "aac"),
        ("speech.flac", "flac"),
        ("speech.ogg", "libopus"),
        ("speech.webm", "libopus"),
        ("speech.mov", "aac"),
        ("speech.mkv", "libopus"),
        ("speech.wav", "adpcm_ima_wav"),
        ("speech.wav", "adpcm_ms"),
        ("speech.caf", "pcm_s16le"),
        ("speech.caf", "alac"),
        ("speech.caf", "adpcm_ima_qt"),
        ("speech.aiff", "pcm_s16be"),
    ],
)
def test_each_promised_format_is_accepted_whatever_its_name(tmp_path: Path, name: str, codec: str) -> None:
    made = write_sound(tmp_path / name, tone(440, 1.5, level=0.5), codec=codec)

    file = accepted(probe_speech, made.rename(tmp_path / "upload.jpg"))

    assert file.duration_seconds == pytest.approx(1.5, abs=0.1)
    assert file.num_samples == file.duration_seconds * file.sampling_rate
    copy = read_sound(file.path)
    assert len(copy) == file.num_samples
    assert np.std(copy[4800:-9600]) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_a_telephones_voice_memo_is_accepted(tmp_path: Path) -> None:
    upload = Path(shutil.copy(FILES / "phone.amr", tmp_path / "upload.mp3"))

    file = accepted(probe_speech, upload)

    assert (file.sampling_rate, file.duration_seconds) == (8_000, pytest.approx(2, abs=0.1))
    assert np.std(read_sound(file.path)) > 0.01


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_sixteen_bits_at_any_rate_are_copied_sample_for_sample(tmp_path: Path, rate: int) -> None:
    speech = tone(300, 1.3, rate=rate, level=0.02)
    original = write_sound(tmp_path / "upload.wav", speech, rate=rate, codec="pcm_s16le")

    file = accepted(probe_speech, original)

    assert (file.sampling_rate, file.num_samples) == (rate, len(speech))
    assert (read_sound(file.path) == read_sound(original)).all()


def test_digest_and_size_are_those_of_the_upload(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.wav", tone(300, 1), codec="pcm_s16le")

    file = accepted(probe_speech, upload)

    assert file.sha256 == hashlib.sha256(upload.read_bytes()).hexdigest()
    assert file.size_bytes == upload.stat().st_size


def test_a_rate_above_48_khz_is_brought_down(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.wav", tone(300, 1, rate=96_000), rate=96_000, codec="pcm_s16le")

    file = accepted(probe_speech, upload)

    assert file.sampling_rate == 48_000
    assert file.duration_seconds == pytest.approx(1, abs=0.001)


def test_stereo_stays_stereo(tmp_path: Path) -> None:
    sides = np.stack([tone(300, 1), tone(300, 1, level=0.05)], axis=1)

    copy = read_sound(accepted(probe_speech, write_sound(tmp_path / "upload.flac", sides)).path)

    assert np.abs(copy).max(axis=0) == pytest.approx([0.1, 0.05], rel=0.01)


def test_surround_becomes_stereo_with_what_its_centre_says(tmp_path: Path) -> None:
    channels = np.zeros((48_000, 6))
    channels[:, 2] = tone(300, 1, level=0.5)
    upload = write_sound(tmp_path / "upload.wav", channels, codec="pcm_s16le", layout="5.1")

    copy = read_sound(accepted(probe_speech, upload).path)

    assert copy.shape[1] == 2
    assert (np.abs(copy).max(axis=0) > 0.1).all()


def test_the_sound_of_a_video_is_accepted(tmp_path: Path) -> None:
    upload = write_video(tmp_path / "upload.mp4", moving_picture(25), sound=tone(300, 1))

    assert accepted(probe_speech, upload).duration_seconds == pytest.approx(1, abs=0.05)


def test_a_recording_whose_format_changes_on_the_way_is_accepted_whole(tmp_path: Path) -> None:
    first = write_sound(tmp_path / "1.mp3", tone(300, 1, rate=44_100), rate=44_100, codec="libmp3lame")
    sides = np.stack([tone(300, 1, rate=22_050)] * 2, axis=1)
    second = write_sound(tmp_path / "2.mp3", sides, rate=22_050, codec="libmp3lame")
    (tmp_path / "upload").write_bytes(first.read_bytes() + second.read_bytes())

    file = accepted(probe_speech, tmp_path / "upload")

    assert file.duration_seconds == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(("seconds", "code"), [(0.2, "audio_too_short"), (60.1, "audio_too_long")])
def test_a_recording_outside_the_limits_is_refused(tmp_path: Path, seconds: float, code: str) -> None:
    upload = write_sound(tmp_path / "upload.flac", tone(300, seconds, rate=8_000), rate=8_000)

    assert refused(probe_speech, upload) == code


@pytest.mark.parametrize("seconds", [0.3, 60.0])
def test_a_recording_just_inside_the_limits_is_accepted(tmp_path: Path, seconds: float) -> None:
    upload = write_sound(tmp_path / "upload.flac", tone(300, seconds, rate=8_000), rate=8_000)

    assert accepted(probe_speech, upload).duration_seconds == seconds


def test_length_is_counted_and_not_believed(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.flac", tone(300, 100, rate=8_000), rate=8_000)
    data = bytearray(upload.read_bytes())
    total = 4 + 4 + 13  # Of fLaC's STREAMINFO: the last 36 bits before the digest are the number of samples.
    data[total] &= 0xF0
    data[total + 1 : total + 5] = (8_000).to_bytes(4)
    upload.write_bytes(data)

    with av.open(str(upload)) as container:
        assert container.duration == 1_000_000
    assert refused(probe_speech, upload) == "audio_too_long"


def test_an_hour_of_silence_in_a_small_file_is_refused_for_its_length(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.flac", np.zeros(8_000 * 3600), rate=8_000)

    assert upload.stat().st_size < 1_000_000
    assert refused(probe_speech, upload) == "audio_too_long"


@pytest.mark.parametrize("level", [0.0, 0.0005])
def test_a_silent_recording_is_refused(tmp_path: Path, level: float) -> None:
    assert (
        refused(probe_speech, write_sound(tmp_path / "upload.flac", tone(300, 1, level=level)))
        == "audio_silent"
    )


def test_a_quiet_recording_is_accepted(tmp_path: Path) -> None:
    assert accepted(probe_speech, write_sound(tmp_path / "upload.flac", tone(300, 1, level=0.002)))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, odd: float) -> None:
    speech = tone(300, 1)
    speech[24_000] = odd

    assert refused(probe_speech, write_floats(tmp_path / "upload.wav", speech)) == "audio_unreadable"


def test_samples_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    upload = write_floats(tmp_path / "upload.wav", tone(300, 1, level=1e30))

    assert np.abs(read_sound(accepted(probe_speech, upload).path)).max() == pytest.approx(1, abs=0.001)


def test_a_rate_at_which_nobody_speaks_is_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "upload.wav"), "wb") as file:
        file.setparams((1, 2, 100, 0, "NONE", ""))
        file.writeframes(bytes(range(256)) * 10)

    assert refused(probe_speech, tmp_path / "upload.wav") == "audio_unreadable"


def test_a_codec_that_is_not_promised_is_refused(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.mkv", tone(300, 1), codec="ac3")

    assert "ac3 is not supported: convert it" in refused(probe_speech, upload, says=True)


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    assert (
        refused(probe_speech, write_video(tmp_path / "upload.mp4", moving_picture(25))) == "audio_unreadable"
    )


def test_a_picture_is_no_recording(tmp_path: Path) -> None:
    portrait().save(tmp_path / "upload.png")

    assert "is a picture: send it as image" in refused(probe_speech, tmp_path / "upload.png", says=True)


def test_a_windows_media_file_is_refused_by_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "upload.wma").write_bytes(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(1000))

    detail = refused(probe_speech, tmp_path / "upload.wma", says=True)

    assert "Windows Media file, which is not supported: convert" in detail


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("speech.wav", "pcm_s16le"),
        ("speech.mp3", "libmp3lame"),
        ("speech.flac", "flac"),
        ("speech.ogg", "libopus"),
        ("speech.webm", "libopus"),
    ],
)
def test_of_a_recording_cut_in_transfer_what_came_is_taken(tmp_path: Path, name: str, codec: str) -> None:
    upload = write_sound(tmp_path / name, tone(440, 4), codec=codec)
    upload.write_bytes(upload.read_bytes()[: upload.stat().st_size // 2])

    assert accepted(probe_speech, upload).duration_seconds == pytest.approx(2, abs=0.6)


def test_an_mp4_cut_before_its_index_is_refused(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.m4a", tone(440, 4), codec="aac")
    upload.write_bytes(upload.read_bytes()[: upload.stat().st_size // 2])

    assert refused(probe_speech, upload) == "audio_unreadable"


def test_a_recording_damaged_throughout_is_refused(tmp_path: Path) -> None:
    upload = write_sound(
        tmp_path / "upload.mp3", np.random.default_rng(0).uniform(-0.5, 0.5, 96_000), codec="libmp3lame"
    )
    data = bytearray(upload.read_bytes())
    for place in range(2_000, len(data), 50):
        data[place] ^= 0xFF
    upload.write_bytes(data)

    assert refused(probe_speech, upload) == "audio_unreadable"


def playlist(text: str) -> Callable[[Path], bytes]:
    return lambda speech: text.replace("SPEECH", str(speech)).encode()


NOT_RECORDINGS: dict[str, Callable[[Path], bytes]] = {
    "empty": playlist(""),
    "text": playlist("This is no recording."),
    "zeros": lambda _: bytes(10_000),
    "noise": lambda _: np.random.default_rng(0).bytes(50_000),
    "html": playlist("<!doctype html><audio src='SPEECH'>"),
    "a playlist of HLS": playlist("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\nSPEECH\n#EXT-X-ENDLIST\n"),
    "a playlist of HLS by URL": playlist("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\nfile://SPEECH\n"),
    "a playlist of concat": playlist("ffconcat version 1.0\nfile 'SPEECH'\n"),
    "a plain playlist": playlist("SPEECH\n"),
    "a playlist of DASH": playlist(
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet><Representation id="1"><BaseURL>SPEECH</BaseURL></Representation></AdaptationSet>'
        "</Period></MPD>"
    ),
    "a session description": playlist(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n"
    ),
    "a wave without data": lambda speech: speech.read_bytes()[:40],
    "a flac without frames": lambda _: b"fLaC\x80\0\0\x22" + bytes(34),
    "an ogg without pages": lambda _: b"OggS" + bytes(100),
}


@pytest.mark.parametrize("content", NOT_RECORDINGS.values(), ids=NOT_RECORDINGS.keys())
def test_what_is_no_recording_is_refused(tmp_path: Path, content: Callable[[Path], bytes]) -> None:
    speech = write_sound(tmp_path / "speech.wav", tone(300, 2), codec="pcm_s16le")
    (tmp_path / "upload.wav").write_bytes(content(speech))

    assert refused(probe_speech, tmp_path / "upload.wav") == "audio_unreadable"


@pytest.mark.parametrize("name", ["speech.wav", "speech.m4a", "speech.ogg"])
def test_a_recording_that_is_a_playlist_as_well_is_read_as_a_recording(tmp_path: Path, name: str) -> None:
    codecs = {"speech.wav": "pcm_s16le", "speech.m4a": "aac", "speech.ogg": "libopus"}
    upload = write_sound(tmp_path / name, tone(300, 1), codec=codecs[name])
    upload.write_bytes(upload.read_bytes() + b"\n#EXTM3U\n#EXTINF:2,\n/etc/hostname\nPK\x03\x04")

    assert accepted(probe_speech, upload, LIMITS).duration_seconds == pytest.approx(1, abs=0.1)


def test_the_limit_comes_from_the_tenant(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.flac", tone(300, 2))

    assert refused(probe_speech, upload, IntakeLimits(max_speech_seconds=1)) == "audio_too_long"


@pytest.mark.parametrize("size_bytes", [4, 8])
def test_an_mp4_with_thousands_of_edits_is_refused_before_it_is_decoded(
    tmp_path: Path, size_bytes: int
) -> None:
    upload = write_sound(tmp_path / "upload.m4a", tone(300, 1), codec="aac")
    entries = struct.pack(">Iii", 1000, 0, 0x10000) * 20_000
    edits = struct.pack(">II", 0, 20_000) + entries
    upload.write_bytes(with_edits(upload.read_bytes(), edits, size_bytes))

    assert "edit lists have more than 500 entries" in refused(probe_speech, upload, says=True)


def with_edits(data: bytes, edits: bytes, size_bytes: int) -> bytes:
    """The MP4 with another edit list in its one track; its box names its size in so many bytes."""
    changed = b""
    for box in boxes(data):
        payload = box.payload
        if box.kind in ("moov", "trak", "edts"):
            payload = with_edits(payload, edits, size_bytes)
        if box.kind == "elst" and size_bytes == 8:
            changed += struct.pack(">I4sQ", 1, b"elst", 16 + len(edits)) + edits
            continue
        payload = edits if box.kind == "elst" else payload
        changed += struct.pack(">I", 8 + len(payload)) + box.kind.encode("latin-1") + payload
    return changed
