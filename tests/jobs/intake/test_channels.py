"""What the channels of a stereo recording are: one speaker, two, or one that cancels the other."""

import io
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from jobs.intake.normalize import IntakeLimits, NormalisedFile, probe_speech
from jobs.intake.probes.base import Channel
from jobs.lifecycle import fetching
from jobs.models import Job
from tests.jobs.clients import form
from tests.jobs.file_server import serving_files
from tests.jobs.taking_in import LIMITS, accepted, refused
from tests.media_samples import Sound, read_sound, tone, write_sound

RATE = 16_000


def words(*spoken: int, of: int = 10) -> Sound:
    """A tone that is heard in some of so many half seconds."""
    silence = np.zeros(RATE // 2)
    return np.concatenate([tone(300, 0.5, rate=RATE) if part in spoken else silence for part in range(of)])


DIALOGUE = np.stack([words(0, 1, 4, 8), 2 * words(2, 3, 6, 7)], axis=1)
OPPOSITE = np.stack([words(0, 2, 4), -1.1 * words(0, 2, 4)], axis=1)


def stereo_wav(samples: Sound) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def probed(folder: Path, samples: Sound, channel: Channel = Channel.ALL) -> NormalisedFile:
    upload = write_sound(folder / "upload.wav", samples, rate=RATE, codec="pcm_s16le")
    return accepted(probe_speech, upload, IntakeLimits(60, channel))


def heard(content: Path) -> Sound:
    """What one who listens in mono hears of a stored recording."""
    with av.open(str(content)) as container:
        assert container.streams.audio[0].rate == RATE
    return read_sound(content).mean(axis=1)


def test_of_opposite_phases_the_louder_channel_is_kept(tmp_path: Path) -> None:
    file = probed(tmp_path, OPPOSITE)

    assert file.channel == "right"
    assert read_sound(file.path).shape == (5 * RATE, 1)
    assert np.abs(read_sound(file.path)[:, 0] - OPPOSITE[:, 1]).max() < 0.001


@pytest.mark.parametrize(
    "samples",
    [
        np.stack([words(0, 2), words(0, 2)], axis=1),
        np.stack([words(0, 2), 0 * words()], axis=1),
        np.stack([words(0, 2), -0.3 * words(0, 2)], axis=1),
        DIALOGUE,
    ],
    ids=["the same", "one is silent", "one is weak and opposite", "two speakers"],
)
def test_channels_that_are_heard_in_mono_are_kept_as_they_are(tmp_path: Path, samples: Sound) -> None:
    file = probed(tmp_path, samples)

    assert file.channel is None
    assert np.abs(read_sound(file.path) - samples).max() < 0.001


@pytest.mark.parametrize(("channel", "index"), [(Channel.LEFT, 0), (Channel.RIGHT, 1)])
def test_a_split_takes_one_channel(tmp_path: Path, channel: Channel, index: int) -> None:
    file = probed(tmp_path, DIALOGUE, channel)

    assert np.abs(read_sound(file.path)[:, 0] - DIALOGUE[:, index]).max() < 0.001


@pytest.mark.parametrize(
    ("samples", "code", "detail"),
    [
        (words(1), "audio_unreadable", "has one channel"),
        (np.stack([words(1), 0 * words()], axis=1), "audio_silent", "right channel is silent"),
    ],
)
def test_a_split_needs_a_speaker_on_each_channel(
    tmp_path: Path, samples: Sound, code: str, detail: str
) -> None:
    upload = write_sound(tmp_path / "upload.wav", samples, rate=RATE, codec="pcm_s16le")
    limits = IntakeLimits(LIMITS.max_speech_seconds, Channel.RIGHT)

    assert refused(probe_speech, upload, limits) == code
    assert detail in refused(probe_speech, upload, limits, says=True)


@pytest.mark.parametrize(
    ("samples", "separate"),
    [
        (DIALOGUE, True),
        (np.stack([words(0, 1, 4), words(0, 1, 4)], axis=1), False),
        (
            np.stack([words(0, 1, 4), tone(700, 5, rate=RATE, level=0.001) + words(0, 1, 4) / 9], axis=1),
            False,
        ),
        (OPPOSITE, False),
        (words(0, 3), False),
    ],
    ids=["a dialogue", "one voice", "one voice and noise", "opposite phases", "mono"],
)
def test_two_speakers_on_two_channels_are_noticed(tmp_path: Path, samples: Sound, separate: bool) -> None:
    assert probed(tmp_path, samples).separate_speakers is separate


@pytest.mark.usefixtures("redis", "store")
def test_estimates_warn_and_suggest(acme_client: APIClient, portrait: bytes) -> None:
    def codes(samples: Sound, **fields: str) -> set[str]:
        answer = acme_client.post("/v1/estimates", form(portrait, stereo_wav(samples), **fields))
        return {warning["code"] for warning in answer.json()["warnings"]}

    assert "channels_cancel" in codes(OPPOSITE)
    assert "separate_speakers" in codes(DIALOGUE)
    assert not codes(DIALOGUE, audio_channels="split") & {"channels_cancel", "separate_speakers"}


def channels_of(job: Job) -> list[str]:
    return [item["facts"]["channel"] for item in job.inputs["speech"]]


def test_left_and_right_become_the_two_speakers(
    acme_client: APIClient, portrait: bytes, redis: Any, store: Path
) -> None:
    answer = acme_client.post("/v1/jobs", form(portrait, stereo_wav(DIALOGUE), audio_channels="split"))

    assert answer.status_code == 202, answer.json()
    shown = answer.json()["input"]
    assert shown["audio_channels"] == "split"
    assert (shown["audio"]["channel"], shown["audio_2"]["channel"]) == ("left", "right")
    job = Job.objects.get()
    stored = [store / item["file"]["key"] for item in job.inputs["speech"]]
    for path, samples in zip(stored, DIALOGUE.T, strict=True):
        assert np.abs(heard(path) - samples).max() < 0.001
    assert float(job.reserved_seconds) == 5


@pytest.mark.usefixtures("redis", "store")
def test_a_recording_at_an_address_is_split_once_it_is_there(
    acme_client: APIClient, portrait: bytes, settings: Settings
) -> None:
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with serving_files() as server:
        server.files |= {"/p.png": portrait, "/s.wav": stereo_wav(DIALOGUE)}
        sent = {
            "image_url": server.url("/p.png"),
            "audio_url": server.url("/s.wav"),
            "audio_channels": "split",
        }
        answer = acme_client.post("/v1/jobs", sent, format="json")
        assert answer.json()["input"]["audio_2"] == {"url": server.url("/s.wav")}
        for fetch in fetching.claim_fetches(10):
            fetching.fetch_inputs(fetch)

        assert channels_of(Job.objects.get()) == ["left", "right"]
        assert sorted(server.asked) == ["/p.png", "/s.wav"]


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"audio_channels": "split", "audio_2_asset": "x"}, {"audio_2_asset": "ambiguous"}),
        ({"audio_channels": "left"}, {"audio_channels": "invalid_choice"}),
    ],
)
@pytest.mark.usefixtures("redis", "store")
def test_what_does_not_go_with_a_split_is_refused(
    acme_client: APIClient, portrait: bytes, fields: dict[str, str], faults: dict[str, str]
) -> None:
    answer = acme_client.post("/v1/jobs", form(portrait, stereo_wav(DIALOGUE), **fields))
    assert {error["field"]: error["code"] for error in answer.json()["errors"]} == faults
