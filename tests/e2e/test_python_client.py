"""`clients/python` against a whole deployment: it knows no more of it than docs/API.md says."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Live
from tests.gpu_worker.preview_jobs import PORTRAIT

REPOSITORY = Path(__file__).parents[2]
CLIENT = REPOSITORY / "clients" / "python"
SPEECH = REPOSITORY / "jobs/api/openapi/files/speech.ogg"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
sys.path.insert(0, str(CLIENT / "src"))

import avatar  # noqa: E402
from avatar import protocol  # noqa: E402
from avatar.connection import Settings  # noqa: E402
from avatar.inputs import LARGE_BYTES  # noqa: E402


@pytest.fixture
def client(live: Live) -> Iterator[avatar.Avatar]:
    with avatar.Avatar(live.key, live.url) as client:
        yield client


@pytest.fixture
def order(tmp_path: Path) -> dict[str, Any]:
    return {"image": PORTRAIT, "audio": SPEECH, "resolution": "480p"}


def test_a_video_is_made_watched_and_saved(
    client: avatar.Avatar, order: dict[str, Any], tmp_path: Path
) -> None:
    states: list[str] = []
    video = client.videos.create(**order, seed=7, metadata={"order": "17"})
    video.wait(timeout=300, on_progress=lambda state: states.append(state.status))
    assert states[-1] == video.status == "succeeded"
    assert video.output
    assert video.stream_url
    assert video.download(tmp_path / "me.mp4").stat().st_size == video.output.size_bytes
    assert not list(tmp_path.glob("*.part"))
    assert dict(client.videos.get(video.id).metadata) == {"order": "17"}
    assert video.id in [found.id for found in client.videos.list(status="succeeded")]


def test_bytes_open_files_and_large_files_are_sent_alike(
    client: avatar.Avatar, order: dict[str, Any], tmp_path: Path
) -> None:
    large = tmp_path / "speech.wav"
    samples = (b"\0\x20" * 60 + b"\0\xe0" * 60) * (LARGE_BYTES // 240 + 1)  # A hum.
    header = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data"
    large.write_bytes(header + len(samples).to_bytes(4, "little") + samples)
    with PORTRAIT.open("rb") as portrait:
        by_asset = client.videos.create(image=portrait, audio=large, resolution="480p")
    by_asset.cancel()
    assert by_asset.state.raw["input"]["audio"]["duration_seconds"] == pytest.approx(52, abs=0.2)
    estimate = client.videos.estimate(image=PORTRAIT.read_bytes(), audio=SPEECH.read_bytes())
    assert len(estimate.faces) == 1


def test_a_text_is_said_by_one_of_the_voices(client: avatar.Avatar) -> None:
    voice = client.voices()[0]["id"]
    video = client.videos.create(image=PORTRAIT, text="Hello.", voice=voice, resolution="480p")
    assert video.wait(timeout=300).state.raw["input"]["audio"]["voices"] == [voice]


def test_what_is_refused_is_an_exception_of_its_kind(client: avatar.Avatar, order: dict[str, Any]) -> None:
    with pytest.raises(avatar.RequestInvalidError) as refused:
        client.videos.create(**order | {"preset": "best", "seed": -1})
    assert {error.field for error in refused.value.errors} == {"preset", "seed"}
    assert refused.value.code == "validation_error"
    assert refused.value.request_id
    with pytest.raises(avatar.NotFoundError):
        client.videos.get("job_nonsense")
    with avatar.Avatar("av_test_nonsense", client._settings.url) as other:  # noqa: SIM117
        with pytest.raises(avatar.AuthenticationError):
            other.me()
    with pytest.raises(avatar.VideoFailedError) as failed:
        client.videos.create(**order, metadata={"simulate": "out_of_memory"}).wait(timeout=300)
    assert (failed.value.code, failed.value.retryable) == ("out_of_memory", True)


def test_the_same_key_makes_one_video_whatever_is_lost(client: avatar.Avatar, order: dict[str, Any]) -> None:
    ids = {client.videos.create(**order, idempotency_key="client-once").id for _ in range(2)}
    assert len(ids) == 1


def test_the_examples_of_its_readme_run_as_they_stand(live: Live, tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_bytes(PORTRAIT.read_bytes())
    (tmp_path / "me.mp3").write_bytes(SPEECH.read_bytes())
    (tmp_path / "orders.csv").write_text("image,audio,resolution\nme.jpg,me.mp3,480p\nme.jpg,me.mp3,480p\n")
    program = f'avatar() {{ "{sys.executable}" -m avatar.cli "$@"; }}\n'
    environment = os.environ | {
        "AVATAR_API_KEY": live.key,
        "AVATAR_API_URL": live.url,
        "PYTHONPATH": str(CLIENT / "src"),
        "no_proxy": "127.0.0.1",
    }
    blocks = BLOCK.findall((CLIENT / "README.md").read_text())
    python = [text for language, text in blocks if language == "python"]
    (commands,) = [text for language, text in blocks if language == "sh" and "avatar create" in text]
    for number, text in enumerate(python):
        (tmp_path / f"example{number}.py").write_text(text)
    examples = "".join(f'"{sys.executable}" example{number}.py\n' for number in range(len(python)))
    ran = subprocess.run(
        ["bash", "-euc", program + examples + commands],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(list((tmp_path / "videos").glob("orders-*.mp4"))) == 2
    assert json.loads(ran.stdout[ran.stdout.rindex("\n{") :])["object"] == "usage"


# --- What needs no server ---


def test_a_busy_server_is_tried_again_when_it_says_and_a_refusal_is_not() -> None:
    operation = protocol.read("job_1")
    assert isinstance(next(operation), protocol.Send)
    assert operation.send(protocol.Answer(503, {"retry-after": "7"}, b"{}")) == protocol.Pause(7.0)
    assert isinstance(operation.send(None), protocol.Send)
    with pytest.raises(avatar.PermissionDeniedError):
        operation.send(protocol.Answer(403, {}, b'{"code": "permission_denied"}'))


def test_the_key_goes_to_the_api_and_to_no_store() -> None:
    settings = Settings.of("av_test_key", "http://127.0.0.1:1", 1.0)
    assert "Authorization" in settings.headers("/jobs")
    assert "Authorization" not in settings.headers("https://store.example/signed")


def test_a_webhook_is_verified_as_the_standard_says() -> None:
    from datetime import UTC, datetime

    from standardwebhooks import Webhook

    secret, now, body = "whsec_c2VjcmV0", datetime.now(UTC), '{"type": "job.succeeded"}'
    headers = {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": Webhook(secret).sign("msg_1", now, body),
    }
    assert avatar.verify_webhook(body, headers, secret)["type"] == "job.succeeded"
    with pytest.raises(avatar.WebhookError):
        avatar.verify_webhook(body + " ", headers, secret)


def test_both_clients_have_the_same_names() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in vars(cls) if not name.startswith("_")}

    assert public(avatar.Avatar) == public(avatar.AsyncAvatar)
    assert public(avatar.Video) == public(avatar.AsyncVideo)


def test_it_is_typed_strictly_and_imports_nothing_of_the_server() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "src/avatar"],
        cwd=CLIENT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout
    sources = "".join(path.read_text() for path in (CLIENT / "src").rglob("*.py"))
    imported = set(re.findall(r"^(?:from|import) (\w+)", sources, re.MULTILINE))
    ours = {"accounts", "avatar_api", "console", "gpu_worker", "jobs", "launcher", "tests"}
    assert imported & ours == set()


def test_waiting_can_be_given_up_in_asyncio(live: Live, order: dict[str, Any]) -> None:
    async def give_up() -> str:
        async with avatar.AsyncAvatar(live.key, live.url) as client:
            video = await client.videos.create(**order, metadata={"simulate": "slow"})
            with pytest.raises(avatar.WaitTimeoutError):
                await video.wait(timeout=0.2)
            return (await video.cancel()).id

    assert asyncio.run(give_up()).startswith("job_")
