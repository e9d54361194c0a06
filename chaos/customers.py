"""Customers who insist: each order carries an Idempotency-Key and is repeated until it is answered."""

import io
import threading
import time
import wave
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from chaos.plan import Order, Variant
from chaos.tenants import Tenant
from gpu_worker.contract import windows

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SAMPLE_RATE = 22_050
PORTRAIT_SIDE = 320
REQUEST_SECONDS = 20.0
PAUSE_SECONDS = 0.7
AT_ONCE = 16
# How long a request is repeated after everything should have healed.
LAST_SECONDS = 30.0


class RefusedError(Exception):
    """The API said no to what is in order."""


@dataclass(frozen=True)
class Answered:
    """An order that was answered with 202: a promise."""

    order: Order
    job_id: str


class Customers:
    """Place orders side by side.

    Attributes:
        answered: The promises so far.
        refused: Sentences about orders that were refused, none of which should be.
        repeats: How many requests were repeated.
        errors: Answers 500, which say that something wasn't foreseen.
    """

    def __init__(self, url: str, tenants: list[Tenant]) -> None:
        self.answered: list[Answered] = []
        self.refused: list[str] = []
        self.repeats = 0
        self.errors: list[str] = []
        self._tenants = tenants
        self._http = httpx.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)
        self._people = ThreadPoolExecutor(AT_ONCE, "customer")
        self._at_work: list[Future[None]] = []
        self._gone = threading.Event()

    @property
    def waiting(self) -> int:
        """Customers who don't have what they came for: an answer to an order or a cancel request."""
        return sum(not person.done() for person in self._at_work)

    def place(self, order: Order) -> None:
        self._at_work.append(self._people.submit(self._order, order))

    def leave(self) -> None:
        """Stop repeating, and wait for what is under way."""
        self._gone.set()
        self._people.shutdown()

    def job(self, answered: Answered) -> dict[str, Any]:
        """The job as its owner sees it now."""
        found: dict[str, Any] = self._insist(
            lambda: self._http.get(f"/v1/jobs/{answered.job_id}", headers=self._headers(answered.order)),
            {200},
        ).json()
        return found

    def video(self, job: dict[str, Any]) -> bytes:
        """The finished video, from the address in the job."""
        return self._insist(
            lambda: self._http.get(job["output"]["url"], follow_redirects=True), {200}
        ).content

    def redeliver(self, organization: str, *, livemode: bool, endpoint: str, delivery: str) -> None:
        """Have a message sent again now, as the API lets a customer do."""
        path = f"/v1/webhooks/{endpoint}/deliveries/{delivery}/redeliver"
        tenant = next(tenant for tenant in self._tenants if tenant.organization == organization)
        headers = {"Authorization": f"Bearer {tenant.keys[livemode]}"}
        self._insist(lambda: self._http.post(path, headers=headers), {202})

    def _order(self, order: Order) -> None:
        try:
            answer = self._insist(lambda: self._create(order), {202})
            self.answered.append(Answered(order, answer.json()["id"]))
            if order.cancel_after is not None:
                self._gone.wait(order.cancel_after)
                path = f"/v1/jobs/{answer.json()['id']}/cancel"
                # 409: it has ended meanwhile.
                self._insist(lambda: self._http.post(path, headers=self._headers(order)), {200, 202, 409})
        except RefusedError as error:
            self.refused.append(f"{order.key}: {error}")

    def _create(self, order: Order) -> httpx.Response:
        return self._http.post(
            "/v1/jobs",
            headers={**self._headers(order), "Idempotency-Key": order.key},
            files={"image": ("portrait.png", portrait()), "audio": ("speech.wav", speech(order.variant))},
            data={"seed": str(order.variant.seed), "resolution": "480p", "metadata[order]": order.key},
        )

    def _headers(self, order: Order) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._tenants[order.tenant].keys[order.variant.livemode]}"}

    def _insist(self, send: Callable[[], httpx.Response], wanted: set[int]) -> httpx.Response:
        """Repeat a request until it gets an answer that isn't about the moment.

        Raises:
            RefusedError: The answer is another one than wanted, or there was none to the end.
        """
        last = "never sent"
        began = time.monotonic()
        while True:
            try:
                response = send()
            except httpx.TransportError as error:
                last = type(error).__name__
            else:
                if response.status_code in wanted:
                    return response
                last = f"{response.status_code} {response.text[:300]}"
                if not _is_about_the_moment(response):
                    raise RefusedError(last)
                if response.status_code == 500:
                    self.errors.append(last)
            if self._gone.is_set() and time.monotonic() - began > LAST_SECONDS:
                raise RefusedError(f"no answer to the end; the last was {last}")
            self.repeats += 1
            time.sleep(PAUSE_SECONDS)


def _is_about_the_moment(response: httpx.Response) -> bool:
    if response.status_code in (429, 500, 502, 503, 504):
        return True
    return response.status_code == 409 and "idempotency_key_in_use" in response.text


@cache
def portrait() -> bytes:
    file = io.BytesIO()
    with Image.open(SAMPLES / "portrait.png") as picture:
        side = min(picture.size)
        picture.crop((0, 0, side, side)).resize((PORTRAIT_SIDE, PORTRAIT_SIDE)).save(file, "PNG")
    return file.getvalue()


@cache
def speech(variant: Variant) -> bytes:
    file = io.BytesIO()
    with wave.open(str(SAMPLES / "speech.wav")) as sample, wave.open(file, "wb") as part:
        part.setparams(sample.getparams())
        part.writeframes(sample.readframes(_samples_of(variant)))
    return file.getvalue()


def frames_of(variant: Variant) -> int:
    """How many frames its video must have."""
    return windows.frames_of(_samples_of(variant), SAMPLE_RATE)


def _samples_of(variant: Variant) -> int:
    return round(variant.seconds * SAMPLE_RATE)
