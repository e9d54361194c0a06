"""The finished video: the windows' own pictures and the speech, in step."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gpu_worker.contract.spec import SpeakingOrder
from gpu_worker.contract.windows import frames_of
from gpu_worker.engines.base import RenderStoppedError
from gpu_worker.media import audio_files, video_files
from tests.gpu_worker.rendered_videos import finish, render
from tests.media_samples import clicks, read_sound, tone, write_sound
from tests.mp4_boxes import boxes

FRAME_SAMPLES = 48_000 // 25


def video_packets(source: str | io.BytesIO) -> list[bytes]:
    with av.open(source) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def level_at(hertz: float, samples: np.ndarray) -> float:
    """Amplitude of the tone of this frequency in mono `samples` at 48 kHz."""
    phase = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / 48_000)
    return float(2 * abs(np.mean(samples * phase)))


def test_the_picture_is_copied_and_not_encoded_again(tmp_path: Path) -> None:
    rendered = render(tmp_path, 154)

    video = finish(rendered, [write_sound(tmp_path / "speech.flac", tone(300, 6.16))])

    assert video_packets(str(video)) == video_packets(io.BytesIO(rendered.joined()))


def test_the_header_stands_in_front_of_the_samples(tmp_path: Path) -> None:
    video = finish(render(tmp_path, 10), [write_sound(tmp_path / "speech.flac", tone(300, 0.4))])

    kinds = [box.kind for box in boxes(video.read_bytes())]
    assert kinds.index("moov") < kinds.index("mdat")


@pytest.mark.parametrize(("rate", "seconds"), [(8_000, 0.3), (16_000, 3.241), (44_100, 6.133), (48_000, 2.0)])
def test_the_sound_is_as_long_as_the_speech(tmp_path: Path, rate: int, seconds: float) -> None:
    speech = tone(300, seconds, rate=rate)
    num_frames = frames_of(len(speech), rate)

    video = finish(render(tmp_path, num_frames), [write_sound(tmp_path / "speech.flac", speech, rate=rate)])

    with av.open(str(video)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert picture.start_time == sound.start_time == 0
        assert picture.duration * picture.time_base == Fraction(num_frames, 25)
        assert float(sound.duration * sound.time_base) == pytest.approx(seconds, abs=1 / 48_000)
        assert (sound.codec_context.name, sound.rate) == ("aac", 48_000)
    assert 0 <= len(read_sound(video)) - seconds * 48_000 < FRAME_SAMPLES


def test_sound_and_picture_are_in_step(tmp_path: Path) -> None:
    speech = clicks([0.5, 2.0, 5.0], 6.0, rate=44_100)

    video = finish(render(tmp_path, 150), [write_sound(tmp_path / "speech.flac", speech, rate=44_100)])

    heard = read_sound(video)[:, 0]
    for second in (0.5, 2.0, 5.0):
        around = slice(round((second - 0.2) * 48_000), round((second + 0.2) * 48_000))
        loudest = around.start + int(np.abs(heard[around]).argmax())
        assert loudest / 48_000 == pytest.approx(second, abs=0.001)


@pytest.mark.parametrize("level", [0.9, 0.1, 0.01])
def test_speech_keeps_its_own_loudness(tmp_path: Path, level: float) -> None:
    speech = write_sound(tmp_path / "speech.flac", tone(440, 2.0, rate=22_050, level=level), rate=22_050)

    video = finish(render(tmp_path, 50), [speech])

    assert level_at(440, read_sound(video)[4800:-4800, 0]) == pytest.approx(level, rel=0.03)


def test_the_onset_of_a_loud_sound_is_not_distorted(tmp_path: Path) -> None:
    speech = np.concatenate([np.zeros(24_000), tone(440, 1.5, level=0.5)])

    video = finish(render(tmp_path, 50), [write_sound(tmp_path / "speech.flac", speech)])

    assert np.abs(read_sound(video)[: len(speech), 0] - speech).max() < 0.05


def test_the_sound_of_a_long_speech_is_given_up_when_the_render_is_asked_to_stop(tmp_path: Path) -> None:
    speech = write_sound(tmp_path / "speech.flac", tone(440, 60.0))
    asked: list[bool] = []

    def renew_slices() -> None:
        asked.append(True)
        if len(asked) == 3:
            raise RenderStoppedError

    with pytest.raises(RenderStoppedError):
        audio_files.write([speech], SpeakingOrder.TOGETHER, renew_slices, tmp_path / "speech.m4a")
    assert len(asked) == 3


def test_stereo_speech_stays_stereo(tmp_path: Path) -> None:
    sides = np.stack([tone(400, 2.0), tone(1000, 2.0)], axis=1)

    video = finish(render(tmp_path, 50), [write_sound(tmp_path / "speech.flac", sides)])

    left, right = read_sound(video)[4800:-4800].T
    assert level_at(400, left) > 0.09 > 0.005 > level_at(400, right)
    assert level_at(1000, right) > 0.09 > 0.005 > level_at(1000, left)


def two_speakers(folder: Path, level: float = 0.1) -> list[Path]:
    """Tones of 400 and 1000 Hz, 2 and 1 seconds, at different rates; the second one in stereo."""
    second = np.repeat(tone(1000, 1.0, rate=16_000, level=level)[:, None], 2, axis=1)
    return [
        write_sound(folder / "first.flac", tone(400, 2.0, rate=44_100, level=level), rate=44_100),
        write_sound(folder / "second.flac", second, rate=16_000),
    ]


def test_two_speakers_together_are_summed_at_their_own_loudness(tmp_path: Path) -> None:
    video = finish(render(tmp_path, 50), two_speakers(tmp_path), SpeakingOrder.TOGETHER)

    for channel in read_sound(video).T:
        assert level_at(400, channel[4800:43_200]) == pytest.approx(0.1, rel=0.05)
        assert level_at(1000, channel[4800:43_200]) == pytest.approx(0.1, rel=0.05)
        assert level_at(1000, channel[52_800:91_200]) < 0.002


def test_a_sum_that_would_clip_is_turned_down_and_not_distorted(tmp_path: Path) -> None:
    video = finish(render(tmp_path, 50), two_speakers(tmp_path, level=0.9), SpeakingOrder.TOGETHER)

    both = read_sound(video)[4800:43_200, 0]
    assert np.abs(both).max() < 1.03
    assert level_at(400, both) == pytest.approx(level_at(1000, both), rel=0.02)
    assert level_at(400, both) > 0.45
    assert level_at(2 * 400 + 1000, both) < 0.005


@pytest.mark.parametrize(
    ("order", "tones"),
    [
        (SpeakingOrder.FIRST_THEN_SECOND, [(400, 0.0, 2.0), (1000, 2.0, 3.0)]),
        (SpeakingOrder.SECOND_THEN_FIRST, [(1000, 0.0, 1.0), (400, 1.0, 3.0)]),
    ],
)
def test_two_speakers_in_turn_follow_each_other(
    tmp_path: Path, order: SpeakingOrder, tones: list[tuple[float, float, float]]
) -> None:
    video = finish(render(tmp_path, 75), two_speakers(tmp_path), order)

    heard = read_sound(video)[:, 0]
    assert 0 <= len(heard) - 3 * 48_000 < FRAME_SAMPLES
    for hertz, start, end in tones:
        while_speaking = heard[round((start + 0.05) * 48_000) : round((end - 0.05) * 48_000)]
        assert level_at(hertz, while_speaking) == pytest.approx(0.1, rel=0.05)
        assert level_at(1400 - hertz, while_speaking) < 0.002


def test_a_video_is_described_by_what_its_file_holds(tmp_path: Path) -> None:
    video = finish(render(tmp_path, 82), [write_sound(tmp_path / "speech.flac", tone(300, 3.25))])

    facts = video_files.describe_video(video)

    assert (facts.width, facts.height, facts.fps, facts.num_frames) == (64, 48, 25, 82)
    assert facts.duration_seconds == 3.28
    assert facts.size_bytes == video.stat().st_size
    assert len(facts.sha256) == 64
