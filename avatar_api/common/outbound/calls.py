"""Requests to addresses: for a file, with a message, or for an answer."""

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urljoin

from avatar_api.common.outbound.addresses import Rules, Target, deployment_rules
from avatar_api.common.outbound.errors import (
    InterruptedExchangeError,
    InvalidUrlError,
    TooLargeError,
    TooManyRedirectsError,
    TooSlowError,
    UnexpectedStatusError,
    UnreachableError,
)
from avatar_api.common.outbound.exchange import Answer, exchanged, within

Result = TypeVar("Result")

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# How long the beginning of an answer is waited for after its status.
ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class Fetched:
    """What was fetched, as the server called it and as it is."""

    content_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Posted:
    """The answer to a message: a redirect is an answer like any other.

    Attributes:
        beginning: The first bytes of its body.
    """

    status: int
    beginning: bytes


@dataclass(frozen=True)
class Response:
    """An answer of any status, whole."""

    status: int
    body: bytes


@dataclass(frozen=True)
class MinimumRate:
    """How fast a file must arrive, so that no server keeps us by dripping.

    Attributes:
        bytes_per_second: On average over each period; a file that ends sooner may have less.
        seconds: The length of a period. The head of the answer has one to arrive in.
    """

    bytes_per_second: int = 16 * 1024
    seconds: float = 10.0


class Interrupt:
    """Lets another thread give up what runs under it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancel: Callable[[], object] | None = None
        self._requested = False

    @property
    def requested(self) -> bool:
        return self._requested

    def request(self) -> None:
        with self._lock:
            self._requested = True
            if self._cancel is not None:
                self._cancel()

    def run(self, begin: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Raises: InterruptedExchangeError: it was requested, before or meanwhile."""
        try:
            return asyncio.run(self._run(begin))
        except asyncio.CancelledError:
            raise InterruptedExchangeError from None

    async def _run(self, begin: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with self._lock:
            if self._requested:
                raise InterruptedExchangeError
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            return await begin()
        finally:
            with self._lock:
                self._cancel = None


def fetch_to_file(
    url: str,
    target: Path | BinaryIO,
    *,
    max_bytes: int,
    seconds: float,
    max_redirects: int = 3,
    rules: Rules | None = None,
    minimum_rate: MinimumRate | None = None,
    interrupt: Interrupt | None = None,
) -> Fetched:
    """Write what an address holds to a file, without undoing any content encoding.

    Args:
        url: Where it is; user name and password in it become basic authentication.
        target: Where to put it. After an error it may hold a part.
        max_bytes: How much it may be.
        seconds: How long all of it may take, redirects included.
        max_redirects: How many may be followed.
        rules: Those of the deployment by default.
        minimum_rate: How fast it must arrive.
        interrupt: Lets another thread end it.

    Raises:
        OutboundError: The file wasn't fetched, for the reason that the class names.
        InterruptedExchangeError: `interrupt` was requested.
    """
    rules, rate = rules or deployment_rules(), minimum_rate or MinimumRate()

    async def fetch() -> Fetched:
        host = Target.parse(url, rules).host
        async with within(seconds, host):
            with target.open("wb") if isinstance(target, Path) else contextlib.nullcontext(target) as file:
                return await _follow(url, file, max_bytes, max_redirects, rules, rate)

    return (interrupt or Interrupt()).run(fetch)


async def _follow(
    url: str, file: BinaryIO, max_bytes: int, max_redirects: int, rules: Rules, rate: MinimumRate
) -> Fetched:
    for _ in range(max_redirects + 1):
        target = Target.parse(url, rules)
        async with contextlib.AsyncExitStack() as stack:
            async with within(2 * rate.seconds, target.host):
                answer = await stack.enter_async_context(exchanged("GET", target, rules))
            location = answer.headers.get("location")
            if answer.status in REDIRECTS and location:
                url = _joined(url, location)
                continue
            if answer.status != 200:
                raise UnexpectedStatusError(target.host, answer.status)
            return await _written(answer, target.host, file, max_bytes, rate)
    raise TooManyRedirectsError(f"The URL redirects more than {max_redirects} times.")


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise InvalidUrlError("The URL redirects to a malformed URL.") from None


async def _written(answer: Answer, host: str, file: BinaryIO, max_bytes: int, rate: MinimumRate) -> Fetched:
    digest, size = hashlib.sha256(), 0
    body = PacedBody(answer, host, rate)
    _refuse_larger(answer.announced_bytes, max_bytes)
    while piece := await body.read():
        _refuse_larger(size + len(piece), max_bytes)
        digest.update(piece)
        size += file.write(piece)
    return Fetched(answer.headers.get("content-type", ""), size, digest.hexdigest())


def _refuse_larger(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise TooLargeError(f"The file is larger than {max_bytes} bytes.")


class PacedBody:
    """The body of an answer, as long as it arrives fast enough."""

    def __init__(self, answer: Answer, host: str, rate: MinimumRate) -> None:
        self._answer = answer
        self._host = host
        self._rate = rate
        self._begin_period()

    def _begin_period(self) -> None:
        self._ends = asyncio.get_running_loop().time() + self._rate.seconds
        self._received = 0

    async def read(self) -> bytes:
        """Raises: TooSlowError: less than the rate came in a period."""
        while True:
            try:
                async with asyncio.timeout_at(self._ends):
                    piece = await self._answer.read()
            except TimeoutError:
                self._judge_period()
            else:
                self._received += len(piece)
                return piece

    def _judge_period(self) -> None:
        if self._received < self._rate.bytes_per_second * self._rate.seconds:
            least = self._rate.bytes_per_second // 1024
            raise TooSlowError(
                f"{self._host} sends too slowly; at least {least} kB per second are required."
            ) from None
        self._begin_period()


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    seconds: float,
    *,
    answer_bytes: int,
    rules: Rules | None = None,
) -> Posted:
    """Send `body` and wait for the status; redirects aren't followed.

    Of the answer's body the beginning is kept, as far as it comes soon.

    Raises:
        OutboundError: There was no answer, for the reason that the class names.
    """
    rules = rules or deployment_rules()
    target = Target.parse(url, rules)
    async with contextlib.AsyncExitStack() as stack:
        async with within(seconds, target.host):
            answer = await stack.enter_async_context(exchanged("POST", target, rules, body, headers))
        return Posted(answer.status, await _beginning(answer, answer_bytes))


async def _beginning(answer: Answer, most: int) -> bytes:
    received = b""
    with contextlib.suppress(TimeoutError, UnreachableError):  # The status is what counts.
        async with asyncio.timeout(ANSWER_SECONDS):
            while len(received) < most and (piece := await answer.read()):
                received += piece
    return received[:most]


def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    seconds: float,
    *,
    rules: Rules,
    max_bytes: int,
    body: bytes | None = None,
) -> Response:
    """Send a request and read the answer, of whatever status; redirects aren't followed.

    Raises:
        OutboundError: There was no answer, for the reason that the class names.
    """
    target = Target.parse(url, rules)

    async def ask() -> Response:
        received = b""
        async with (
            within(seconds, target.host),
            exchanged(method, target, rules, body or b"", headers) as answer,
        ):
            while piece := await answer.read():
                received += piece
                _refuse_larger(len(received), max_bytes)
            return Response(answer.status, received)

    return asyncio.run(ask())
