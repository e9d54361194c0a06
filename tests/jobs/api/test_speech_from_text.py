"""Speech from text: what may be sent, what becomes of it, and who sees it."""

import base64
import json
import logging
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from django.contrib.staticfiles import finders
from django.core.files.storage import default_storage
from django.utils import timezone
from numpy.typing import NDArray
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from accounts.limits import effective_limits
from accounts.models import Organization
from InfiniteTalk.loudness import integrated_loudness
from jobs.intake.speech import synthesis, texts
from jobs.intake.speech.texts import Spoken
from jobs.intake.speech.voices import ESPEAK_VOICES
from jobs.lifecycle import fetching
from jobs.models import Job
from jobs.queues import outbound_queue, speech_queue
from tests import factories
from tests.jobs.clients import keyed

pytestmark = pytest.mark.usefixtures("redis", "store")

SECRET = "Quetzalcoatl"
PARAGRAPHS = {
    "espeak-en-us-female": "Good morning, and welcome. Today we look at how talking videos are made from one "
    "picture. It takes less time than you expect, and costs $12.50 for 30 of them.",
    "espeak-de-de-male": "Guten Morgen und willkommen. Heute sehen wir uns an, wie aus einem einzigen Bild "
    "und wenigen Sekunden Sprache ein Video entsteht. Es geht schneller, als man denkt.",
    "espeak-es-es-female": "Buenos días y bienvenidos. Hoy vemos cómo nace un vídeo de una sola imagen y de "
    "unos segundos de voz. Es más rápido de lo que uno piensa.",
    "espeak-fr-fr-male": "Bonjour et bienvenue. Aujourd'hui, nous regardons comment une vidéo naît d'une "
    "seule image et de quelques secondes de parole. Cela va plus vite qu'on ne le pense.",
    "espeak-zh-cn-female": "早上好，欢迎收看我们的节目。今天我们来看看如何用一张照片和几秒钟的语音制作视频。",
    "espeak-hi-in-male": "नमस्ते और स्वागत है। आज हम देखेंगे कि एक तस्वीर और कुछ सेकंड की आवाज़ से वीडियो कैसे बनता है।",
}


@pytest.fixture
def image(portrait: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(portrait).decode()}"


def post(client: APIClient, body: dict[str, Any], address: str = "/v1/jobs") -> Any:
    return client.generic("POST", address, json.dumps(body), content_type="application/json")


def faults(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.content
    return {error["field"]: error["code"] for error in answer.json()["errors"]}


def spoken(client: APIClient, body: dict[str, Any]) -> Job:
    """The job, once its speech was made as an `outbound` process makes it."""
    answer = post(client, body)
    assert answer.status_code == 202, answer.content
    for fetch in fetching.claim_fetches(10, speaking=True):
        fetching.fetch_inputs(fetch)
    return Job.objects.get(pk=answer.json()["id"])


def samples(job: Job, speaker: int = 0) -> tuple[NDArray[np.float32], int]:
    with default_storage.open(job.inputs["speech"][speaker]["file"]["key"]) as file, av.open(file) as sound:
        frames = [frame.to_ndarray() for frame in sound.decode(audio=0)]
        rate = sound.streams.audio[0].rate
    return np.concatenate(frames, axis=1)[0].astype(np.float32) / 32768, rate


def test_the_job_is_there_at_once_and_its_speech_is_made_while_it_waits(
    acme_client: APIClient, image: str, store: Path
) -> None:
    body = {"image_url": image, "text": "Hello, and welcome.", "voice": "espeak-en-us-female"}
    created = post(acme_client, body).json()
    assert (created["status"], created["stage"]) == ("queued", "speaking")
    assert created["input"]["audio"] == {"voices": ["espeak-en-us-female"], "characters": 19}
    job = Job.objects.get(pk=created["id"])
    for fetch in fetching.claim_fetches(1, speaking=True):
        fetching.fetch_inputs(fetch)
    job.refresh_from_db()
    assert job.urls is None
    assert 0.8 < job.reserved_seconds < 2
    shown = acme_client.get(f"/v1/jobs/{job.id}").json()
    assert shown["stage"] == "waiting"
    assert shown["input"]["audio"]["duration_seconds"] == pytest.approx(
        float(job.reserved_seconds), abs=0.001
    )


def test_texts_are_said_by_processes_of_their_own(
    acme_client: APIClient, image: str, redis: Redis, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        said = post(acme_client, {"image_url": image, "text": "Hello."}).json()["id"]
        fetched = post(acme_client, {"image_url": image, "audio_url": "https://example.com/a.wav"}).json()[
            "id"
        ]
    assert speech_queue(redis).job_ids == [f"fetch-{said}"]
    assert outbound_queue(redis).job_ids == [f"fetch-{fetched}"]
    assert [fetch.job_id for fetch in fetching.claim_fetches(10)] == [fetched]
    assert [fetch.job_id for fetch in fetching.claim_fetches(10, speaking=True)] == [said]


def test_a_text_that_nobody_says_fails_for_that_reason(acme_client: APIClient, image: str) -> None:
    job = Job.objects.get(pk=post(acme_client, {"image_url": image, "text": "Hello."}).json()["id"])
    job.fetch_deadline = timezone.now()
    job.save(update_fields=["fetch_deadline"])
    fetching.reconcile_fetches()
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "speech_failed")


@pytest.mark.parametrize("voice", PARAGRAPHS)
def test_an_estimate_tells_the_length_within_a_tenth_and_the_speech_is_as_loud_as_broadcasts(
    acme_client: APIClient, image: str, voice: str
) -> None:
    body = {"image_url": image, "text": PARAGRAPHS[voice], "voice": voice}
    estimate = post(acme_client, body, "/v1/estimates").json()
    job = spoken(acme_client, body)
    assert float(job.reserved_seconds) == pytest.approx(estimate["duration_seconds"], rel=0.1)
    assert "length_estimated" in {warning["code"] for warning in estimate["warnings"]}

    sound, rate = samples(job)
    assert -23 <= integrated_loudness(sound, rate) <= -16
    heard = np.flatnonzero(np.abs(sound) > 0.005)
    assert np.diff(heard).max() / rate < 1.0


@pytest.mark.parametrize(
    ("voice", "text"),
    [
        ("espeak-en-us-female", "Good morning."),
        ("espeak-en-us-male", "In 2024 we sold 1,250 units at $19.99 each."),
        ("espeak-es-es-female", "En 2024 vendimos 1250 unidades."),
        ("espeak-de-de-male", "Im Jahr 2024 verkauften wir 1250 Stück zu je 19,99 Euro."),
    ],
)
def test_the_length_of_short_texts_and_numbers_is_estimated_within_a_tenth_or_0_3_s(
    tmp_path: Path, voice: str, text: str
) -> None:
    said = Spoken(tuple(texts.read_lines(text, ESPEAK_VOICES[voice])))
    synthesis.speak(said, tmp_path / "said.wav", max_seconds=60, time_limit=60)
    with av.open(tmp_path / "said.wav") as sound:
        assert sound.duration
        seconds = sound.duration / av.time_base
    assert texts.seconds_of(said, ESPEAK_VOICES) == pytest.approx(seconds, rel=0.1, abs=0.3)


def test_the_same_text_voice_and_seed_give_the_same_bytes(acme_client: APIClient, image: str) -> None:
    body = {"image_url": image, "text": "Twice the same.", "seed": 5}
    first, second = spoken(acme_client, body), spoken(acme_client, body)
    assert first.inputs["speech"][0]["file"]["sha256"] == second.inputs["speech"][0]["file"]["sha256"]


def test_a_pause_is_silence_of_its_length(acme_client: APIClient, image: str) -> None:
    short = spoken(acme_client, {"image_url": image, "text": "One. Two."})
    paused = spoken(acme_client, {"image_url": image, "text": "One. [pause 1.5s] Two."})
    assert 1.0 < float(paused.reserved_seconds - short.reserved_seconds) < 1.6


def test_in_a_dialogue_each_speaker_is_silent_while_the_other_speaks(
    acme_client: APIClient, image: str
) -> None:
    script = [
        {"speaker": 1, "text": "Did you sleep well?"},
        {"speaker": 2, "text": "Very well, thank you.", "pause": 0.5},
        {"speaker": 1, "text": "Good.", "voice": "espeak-en-us-male"},
    ]
    job = spoken(acme_client, {"image_url": image, "script": script})
    (one, rate), (two, _) = samples(job, 0), samples(job, 1)
    assert len(one) == len(two)
    assert not np.any((np.abs(one) > 0.01) & (np.abs(two) > 0.01))
    first_of_two = np.flatnonzero(np.abs(two) > 0.01)[0]
    assert (np.abs(one[:first_of_two]) > 0.01).any()
    assert (np.abs(one[first_of_two:]) > 0.01).any()
    assert job.num_frames == -(-len(one) * 25 // rate)


def test_two_texts_are_two_speakers(acme_client: APIClient, image: str) -> None:
    body = {"image_url": image, "text": "One speaks.", "text_2": "The other, too."}
    job = spoken(acme_client, body | {"speaking_order": "first_then_second"})
    assert [item["facts"]["voices"] for item in job.inputs["speech"]] == [
        ["espeak-en-us-male"],
        ["espeak-en-us-female"],
    ]


def test_who_answers_speaks_the_same_language_unless_a_voice_is_named(
    acme_client: APIClient, image: str
) -> None:
    script = [{"speaker": 1, "text": "Guten Tag."}, {"speaker": 2, "text": "Wie geht es?"}]
    body = {"image_url": image, "script": script, "voice": "espeak-de-de-female"}
    estimate = post(acme_client, body, "/v1/estimates").json()
    assert estimate["input"]["audio"]["voices"] == ["espeak-de-de-female", "espeak-de-de-male"]


def test_the_speech_can_be_had_once_it_was_made(
    acme_client: APIClient, initech: Organization, image: str
) -> None:
    answer = post(acme_client, {"image_url": image, "text": "To be heard."})
    address = f"/v1/jobs/{answer.json()['id']}/content?variant=audio"
    assert acme_client.get(address).status_code == 409
    for fetch in fetching.claim_fetches(1, speaking=True):
        fetching.fetch_inputs(fetch)
    found = acme_client.get(address)
    assert found.status_code == 302
    file = APIClient().get(found["Location"])
    assert (file["Content-Type"], b"".join(file)[:4]) == ("audio/flac", b"fLaC")  # type: ignore[call-overload]
    assert keyed(factories.key(initech)).get(address).status_code == 404


def test_a_text_is_gone_once_it_was_said_and_appears_in_no_log(
    acme_client: APIClient, image: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = post(acme_client, {"image_url": image, "text": f"{SECRET} speaks."})
        stored = Job.objects.filter(pk=answer.json()["id"])
        assert SECRET not in json.dumps(
            list(stored.extra(select={"raw": "urls::text"}).values("raw", "inputs"))
        )
        for fetch in fetching.claim_fetches(1, speaking=True):
            fetching.fetch_inputs(fetch)
    assert stored.get().urls is None
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": "Hi.", "voice": "nobody"}, {"voice": "unknown_voice"}),
        ({"text": "🙂 …"}, {"text": "unspeakable"}),
        ({"text": "Доброе утро."}, {"text": "wrong_script"}),
        ({"text": "Well [pause] then."}, {"text": "invalid"}),
        ({"text": "Well [pause 9s] then."}, {"text": "invalid"}),
        ({"text": ""}, {"text": "blank"}),
        ({"text": "a" * 50_001}, {"text": "max_length"}),
        ({"text": "word " * 9_000}, {"text": "audio_too_long"}),
        ({"text": "Hi.", "audio_channels": "split"}, {"audio_channels": "ambiguous"}),
        ({"text": "Hi.", "script": [{"speaker": 1, "text": "Hi."}]}, {"script": "ambiguous"}),
        ({"script": [{"speaker": 2, "text": "Hi."}]}, {"script": "invalid"}),
        ({"script": [{"speaker": 1, "text": "…"}]}, {"script.0.text": "unspeakable"}),
        ({"script": [{"speaker": 3, "text": "Hi."}]}, {"script.0.speaker": "max_value"}),
        ({"voice": "espeak-en-us-male"}, {"audio": "required", "voice": "text_required"}),
    ],
)
def test_what_can_not_be_said_is_refused_at_its_field(
    acme_client: APIClient, image: str, fields: dict[str, Any], expected: dict[str, str]
) -> None:
    assert faults(post(acme_client, {"image_url": image, **fields})) == expected
    assert not Job.objects.exists()


def test_a_text_that_may_still_fit_is_estimated_at_what_the_plan_allows(
    acme: Organization, acme_client: APIClient, image: str
) -> None:
    allowed = effective_limits(acme, livemode=False).max_speech_seconds
    body = {"image_url": image, "voice": "espeak-en-us-male", "text": "word " * round(1.05 * allowed / 0.246)}
    estimate = post(acme_client, body, "/v1/estimates")
    assert estimate.status_code == 200, estimate.content
    assert estimate.json()["duration_seconds"] == allowed


def test_emoji_and_addresses_are_no_reason_to_refuse(acme_client: APIClient, image: str) -> None:
    text = "Look 👀 at https://example.com/a?b=1, café № 7 — naïve, 北京, 100 %."
    assert spoken(acme_client, {"image_url": image, "text": text}).status == "queued"


def test_where_nothing_speaks_a_text_is_refused_and_no_voice_is_listed(
    acme_client: APIClient, image: str, settings: Settings
) -> None:
    settings.SPEECH_ENGINE = ""
    assert faults(post(acme_client, {"image_url": image, "text": "Hi."})) == {"text": "not_offered"}
    assert acme_client.get("/v1/voices").json() == {"data": []}


def test_voices_are_listed_for_whoever_has_a_key(acme: Organization) -> None:
    reader = keyed(factories.key(acme, scopes=frozenset({"usage:read"})))
    listed = reader.get("/v1/voices").json()["data"]
    assert [voice["id"] for voice in listed] == list(ESPEAK_VOICES)
    assert listed[0] == {
        "object": "voice",
        "id": "espeak-en-us-male",
        "language": "en-US",
        "gender": "male",
        "engine": "espeak",
        "sample_url": "http://testserver/static/jobs/voices/espeak-en-us-male.mp3",
    }


def test_each_voice_of_espeak_can_be_heard_before_it_is_chosen(acme_client: APIClient) -> None:
    for voice in acme_client.get("/v1/voices").json()["data"]:
        file = finders.find(voice["sample_url"].removeprefix("http://testserver/static/"))
        with av.open(file) as sound:
            assert sound.duration
            assert 1 < sound.duration / av.time_base < 5


def test_an_engine_that_fails_fails_the_job_with_a_reason_and_a_retry_says_the_text_again(
    acme_client: APIClient, image: str, settings: Settings
) -> None:
    answer = post(acme_client, {"image_url": image, "text": "Say it."})
    settings.SPEECH_ENGINE = ""
    for fetch in fetching.claim_fetches(1, speaking=True):
        fetching.fetch_inputs(fetch)
    job = Job.objects.get(pk=answer.json()["id"])
    assert (job.status, job.error_code) == ("failed", "speech_failed")
    settings.SPEECH_ENGINE = "espeak"
    again = acme_client.post(f"/v1/jobs/{job.id}/retry").json()
    assert again["stage"] == "speaking"
