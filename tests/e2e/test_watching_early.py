"""A video is watched while it is rendered: in a real browser by the page of docs/API.md, and by FFmpeg."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import httpx
import pytest
from PIL import Image, ImageStat

from tests.e2e.browser import running_browser
from tests.e2e.conftest import Live
from tests.e2e.test_guide import snippets
from tests.gpu_worker.playing_control import wait_until
from tests.gpu_worker.preview_jobs import PORTRAIT, write_speech
from tests.jobs.file_server import serving_files

HLS = Path(__file__).parents[2] / "console/static/console/vendor/hls.light.min.js"
H264_AND_AAC = 'video/mp4; codecs="avc1.64001f,mp4a.40.2"'
# Three windows, each of which the worker holds for two seconds more.
NUM_FRAMES = 170
SECONDS = 90.0
wait_for = partial(wait_until, seconds=SECONDS, pause=0.1)


@dataclass
class Job:
    """A job that is rendered slowly, from its first finished window on."""

    live: Live
    id: str
    stream_url: str
    heard: "Future[Watched]" = field(default_factory=Future)

    def status(self) -> str:
        answer = httpx.get(f"{self.live.url}/v1/jobs/{self.id}", headers=self.live.headers)
        status: str = answer.raise_for_status().json()["status"]
        return status


@dataclass(frozen=True)
class Watched:
    """What FFmpeg got out of a stream.

    Attributes:
        while_rendering: Whether the job was still being rendered when the first picture came.
        pictures: When each is shown.
        sounds: When each packet of sound begins.
    """

    while_rendering: bool
    pictures: list[Fraction]
    sounds: list[Fraction]


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page of a browser that plays H.264."""
    with running_browser("--autoplay-policy=no-user-gesture-required") as browser:
        page = browser.new_page(viewport={"width": 700, "height": 720})
        if not page.evaluate(f"MediaSource.isTypeSupported('{H264_AND_AAC}')"):
            pytest.skip("the browser here can't play H.264 and AAC")
        yield page


@pytest.fixture(scope="module")
def job(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job, which FFmpeg watches from now on as well."""
    speech = tmp_path_factory.mktemp("watching") / "speech.wav"
    write_speech(speech, NUM_FRAMES / 25)
    with PORTRAIT.open("rb") as image, speech.open("rb") as audio:
        asked = httpx.post(
            f"{live.url}/v1/jobs",
            headers=live.headers,
            files={"image": image, "audio": audio},
            data={"resolution": "480p", "metadata[simulate]": "slow"},
            timeout=SECONDS,
        )
    job_id = asked.raise_for_status().json()["id"]
    address = f"{live.url}/v1/jobs/{job_id}"
    url = wait_for(lambda: httpx.get(address, headers=live.headers).json()["stream_url"], "a window")
    job = Job(live, job_id, url)
    threading.Thread(target=watch, args=[job], daemon=True).start()
    return job


def watch(job: Job) -> None:
    """Play the stream with FFmpeg's own HLS client, to its end."""
    try:
        pictures, sounds, while_rendering = [], [], None
        with av.open(job.stream_url, options={"prefer_x_start": "1"}) as container:
            for packet in container.demux():
                if packet.stream.type == "audio" and packet.size:
                    sounds.append(packet.pts * packet.time_base)
                elif packet.stream.type == "video":
                    pictures += [frame.pts * frame.time_base for frame in packet.decode()]
                if while_rendering is None and pictures:
                    while_rendering = job.status() == "processing"
        job.heard.set_result(Watched(bool(while_rendering), pictures, sounds))
    except BaseException as error:
        job.heard.set_exception(error)


def test_a_browser_plays_the_beginning_while_the_end_is_rendered(page: Any, job: Job, tmp_path: Path) -> None:
    def video(expression: str) -> Any:
        return page.evaluate(f"(video => {expression})(document.querySelector('video'))")

    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    with serving_files() as site:
        # Another origin than the API's, as a customer's site is.
        site.files = {"/watch": snippets("html").encode(), "/hls.light.min.js": HLS.read_bytes()}
        page.goto(site.url(f"/watch?stream={quote(job.stream_url)}"))
        page.evaluate("void document.querySelector('video').play()")

        wait_for(lambda: video("video.currentTime > 1"), "the first second")
        shown = page.screenshot(path=tmp_path / "while-it-renders.png")
        assert job.status() == "processing"
        assert video("video.currentSrc").startswith("blob:"), "hls.js plays, and not the browser alone"

        wait_for(lambda: job.status() == "succeeded", "the job's end")
        page.evaluate("document.querySelector('video').playbackRate = 4")
        wait_for(lambda: video("video.ended"), "the video's end")

    assert failed == []
    assert min(ImageStat.Stat(Image.open(io.BytesIO(shown)).convert("L")).stddev) > 20, "it shows no picture"
    assert video("video.buffered.length") == 1
    assert video("video.duration") == pytest.approx(NUM_FRAMES / 25, abs=0.03)
    assert video("video.webkitAudioDecodedByteCount") > 0


def test_a_player_that_polls_gets_every_frame_at_its_time_and_the_sound(job: Job) -> None:
    watched = job.heard.result(SECONDS)

    assert watched.while_rendering
    assert watched.pictures == [Fraction(number, 25) for number in range(NUM_FRAMES)]
    assert watched.sounds[0] == 0
    assert all(
        later - earlier == Fraction(1024, 48_000)
        for earlier, later in zip(watched.sounds, watched.sounds[1:], strict=False)
    )
