"""Kokoro-82M as a speech engine: a text's way through its program, with a network that knows only noise."""

import base64
import json
import logging
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_django import Settings
from rest_framework.test import APIClient

from InfiniteTalk.loudness import integrated_loudness
from jobs.intake.speech import checks, kokoro, synthesis, voices
from jobs.intake.speech.texts import Line, Spoken, TextError
from tests.jobs.intake import tiny_kokoro

DIALOGUE = Spoken(
    (
        Line("kokoro-af_heart", "Did you sleep well?"),
        Line("kokoro-am_michael", "Very well, thank you.", 0.5, 2),
    ),
    2,
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_kokoro.prepare(tmp_path_factory.mktemp("speech"))


@pytest.fixture(autouse=True)
def engine(settings: Settings, prepared: Path) -> None:
    settings.SPEECH_ENGINE = "kokoro"
    settings.SPEECH_MODEL_PATH = str(prepared)


def speak(spoken: Spoken, out: Path, max_seconds: float = 60) -> tuple[NDArray[np.float32], int]:
    """The samples, a row for each speaker, and their rate."""
    synthesis.speak(spoken, out, max_seconds=max_seconds, time_limit=60)
    with wave.open(str(out)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        tracks = frames.reshape(-1, file.getnchannels()).T.astype(np.float32) / 32768
        return tracks, file.getframerate()


def test_a_dialogue_has_a_track_for_each_speaker_as_loud_as_broadcasts_and_always_the_same_bytes(
    tmp_path: Path,
) -> None:
    (one, two), rate = speak(DIALOGUE, tmp_path / "first.wav")
    assert rate == 24_000
    assert not np.any((one != 0) & (two != 0))
    pause = np.flatnonzero(two)[0] - np.flatnonzero(one)[-1]
    assert pause / rate == pytest.approx(0.5, abs=0.01)
    for track in (one[one != 0], two[two != 0]):
        assert -23 <= integrated_loudness(track, rate) <= -16

    speak(DIALOGUE, tmp_path / "second.wav")
    assert (tmp_path / "first.wav").read_bytes() == (tmp_path / "second.wav").read_bytes()


def test_a_model_with_other_bytes_says_nothing_and_the_text_is_in_no_log(
    tmp_path: Path, prepared: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = shutil.copytree(prepared, tmp_path / "damaged")
    with (damaged / kokoro.VOICES).open("r+b") as file:
        file.seek(100)
        file.write(b"x")
    settings.SPEECH_MODEL_PATH = str(damaged)
    with caplog.at_level(logging.DEBUG), pytest.raises(TextError, match="speech_failed"):
        speak(DIALOGUE, tmp_path / "out.wav")
    assert "sleep well" not in caplog.text
    assert not (tmp_path / "out.wav").exists()


def test_what_takes_too_long_to_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="audio_too_long"):
        speak(DIALOGUE, tmp_path / "out.wav", max_seconds=0.2)


@pytest.mark.parametrize(
    ("language", "text", "phonemes"),
    [
        ("a", "Good morning. It is nine o'clock.", "ɡˈʊd mˈɔɹnɪŋ. ɪT ɪz nˈIn əklˈɑk."),
        ("b", "A fair boat, near water.", "ə fˈɛː bˈQt, nˌɪə wˈɔːtə."),
        ("f", "Bonjour à tous.", "bɔ̃ʒˈuʁ a tˈus."),
        ("i", "Buongiorno, mondo!", "bʊonʤˈɔrno, mˈondo!"),
    ],
)
def test_a_text_is_written_in_the_phonemes_that_the_network_was_trained_with(
    language: str, text: str, phonemes: str
) -> None:
    from kokoro_onnx.tokenizer import Tokenizer

    Tokenizer()  # It says where eSpeak NG is.
    assert kokoro.phonemes(language, text) == phonemes


def test_the_published_voices_of_seven_languages_are_offered() -> None:
    offered = voices.offered()
    assert len(offered) == 41
    assert next(iter(offered)) == "kokoro-af_heart"
    assert {voice.language for voice in offered.values()} == {
        "en-US", "en-GB", "es-ES", "fr-FR", "hi-IN", "it-IT", "pt-BR",
    }  # fmt: skip
    assert {voice.name[0] for voice in offered.values()} == set(kokoro.LANGUAGES)


@pytest.mark.usefixtures("redis", "store")
def test_an_estimate_says_that_these_voices_were_not_measured(
    acme_client: APIClient, portrait: bytes
) -> None:
    image = f"data:image/png;base64,{base64.b64encode(portrait).decode()}"
    body = json.dumps({"image_url": image, "text": "Hello, and welcome.", "voice": "kokoro-bf_emma"})
    answer = acme_client.generic("POST", "/v1/estimates", body, content_type="application/json")
    (notice,) = [each for each in answer.json()["warnings"] if each["code"] == "length_estimated"]
    assert "50 %" in notice["detail"]


def test_the_engine_without_its_folder_is_refused_before_anything_starts(settings: Settings) -> None:
    assert checks.a_speech_engine_finds_its_model() == []
    settings.SPEECH_MODEL_PATH = ""
    assert [found.id for found in checks.a_speech_engine_finds_its_model()] == ["jobs.E006"]
