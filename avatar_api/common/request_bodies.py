"""Request bodies are received whole before a request takes a thread, so that a slow client holds nobody up.

What is received lies in memory while it is small, and in the folder of this process when it isn't. A body
that stalls, trickles or is too large ends with a problem and a closed connection. Large bodies are received
only with a credential that holds; the others get the refusal of the application itself, and their body is
discarded, so that a pooled connection survives it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, TypeVar

from avatar_api.common.asgi import App, Headers, Message, Receive, Scope, Send, header
from avatar_api.common.asgi_response import send_problem
from avatar_api.common.own_folder import own_folder
from avatar_api.common.problems import SOON, Problem
from avatar_api.common.slots import Slots

SMALL_BYTES = 64 * 1024
"""Received from anybody, and kept in memory."""
DISCARDED_BYTES = 8 * 1024 * 1024
"""Of a body that nobody will read, so that the connection can serve the next request."""
BODY_KEY = "avatar_api.body"
"""Where the scope holds the file of the body."""
WRITING_THREADS = 4
LINGER_SECONDS = 1.0

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class BodyLimits:
    """What a body may take.

    Attributes:
        max_bytes: The largest body.
        silence_seconds: How long a client may send nothing.
        grace_seconds: After which the rate counts.
        min_bytes_per_second: The lowest average rate.
        max_seconds: The longest upload.
        open_per_address: Bodies that one address may be sending at once.
    """

    max_bytes: int
    silence_seconds: float = 20.0
    grace_seconds: float = 30.0
    min_bytes_per_second: int = 2048
    max_seconds: float = 30 * 60.0
    open_per_address: int = 128


@dataclass(frozen=True)
class Uploader:
    """Whom large bodies count for.

    Attributes:
        name: Tells one from another.
        open_uploads: How many it may be sending at once.
    """

    name: str
    open_uploads: int


class ClientGoneError(Exception):
    """The client hung up before it had sent all that it announced."""


class ReceivedBodies:
    """Hands requests to `inner` once their body is there, as the file `scope[BODY_KEY]`.

    Args:
        inner: The application; it need not call `receive` for the body.
        limits: What a body may take.
        address_of: The address that a request counts for.
        uploader_of: Who sends it, by the credential in its headers; None when there is none that holds.
            Called in a thread.
    """

    def __init__(
        self,
        inner: App,
        limits: BodyLimits,
        address_of: Callable[[Scope], str],
        uploader_of: Callable[[Scope], Uploader | None],
    ) -> None:
        self._inner = inner
        self._limits = limits
        self._address_of = address_of
        self._uploader_of = uploader_of
        self._threads = ThreadPoolExecutor(WRITING_THREADS, "bodies")
        self._addresses, self._uploaders = Slots("uploads"), Slots("uploads")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not may_have_body(scope):
            await self._inner(scope, receive, send)
            return
        with SpooledTemporaryFile(SMALL_BYTES, dir=str(own_folder()), prefix="body-") as file:
            incoming = Incoming(receive, file, self._limits, self._in_thread)
            try:
                await self._receive(scope, incoming)
            except ClientGoneError:
                return
            except OSError:
                log.exception("a body can't be stored")
                await send_problem(scope, send, Problem("service_unavailable", headers=SOON), incoming.linger)
                return
            except Problem as problem:
                await send_problem(scope, send, problem, incoming.linger)
                return
            file.seek(0)
            outgoing = send if incoming.is_whole else closing(send)
            await self._inner(with_body(scope, file, incoming.kept), receive, outgoing)

    async def _receive(self, scope: Scope, incoming: "Incoming") -> None:
        with self._addresses.taken(self._address_of(scope), self._limits.open_per_address):
            await incoming.keep(SMALL_BYTES)
            if incoming.is_whole:
                return
            uploader = await self._in_thread(lambda: self._uploader_of(scope))
            if uploader is None:
                await incoming.discard(DISCARDED_BYTES)
                return
            with self._uploaders.taken(uploader.name, uploader.open_uploads):
                await incoming.keep(self._limits.max_bytes)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        self._threads.shutdown()


class Incoming:
    """The body of one request while it arrives.

    Attributes:
        is_whole: Whether its end has been received.
        kept: Bytes in the file.
    """

    def __init__(
        self,
        receive: Receive,
        file: IO[bytes],
        limits: BodyLimits,
        in_thread: Callable[..., Awaitable[object]],
    ) -> None:
        self.is_whole = False
        self.kept = 0
        self._receive = receive
        self._file = file
        self._limits = limits
        self._in_thread = in_thread
        self._received = 0
        self._began = time.monotonic()

    async def keep(self, most: int) -> None:
        """Receive into the file until the body ends or the file holds `most` bytes or more.

        Raises:
            ClientGoneError: It hung up.
            OSError: The disk is full.
            Problem: `request_timeout` or `payload_too_large`.
        """
        while not self.is_whole and self.kept < most:
            chunk = await self._chunk()
            self.kept += len(chunk)
            if self.kept <= SMALL_BYTES:
                self._file.write(chunk)
            else:
                await self._in_thread(lambda chunk=chunk: self._file.write(chunk))

    async def discard(self, most: int) -> None:
        """Drop what was received and up to `most` bytes of what comes; raises as `keep` does."""
        self._file.seek(0)
        self._file.truncate()
        self.kept = 0
        while not self.is_whole and self._received < most:
            await self._chunk()

    async def linger(self) -> None:
        """Take what is under way for a moment: a client that is still sending would miss the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.is_whole and (await self._receive())["type"] != "http.disconnect":
                    pass

    async def _chunk(self) -> bytes:
        try:
            async with asyncio.timeout(self._seconds_left()):
                message = await self._receive()
        except TimeoutError:
            raise Problem("request_timeout", "The request body arrived too slowly.") from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        self.is_whole = not message.get("more_body", False)
        self._received += len(chunk)
        if self._received > self._limits.max_bytes:
            raise Problem(
                "payload_too_large", f"This deployment accepts at most {self._limits.max_bytes} bytes."
            )
        return chunk

    def _seconds_left(self) -> float:
        """Until the next chunk must be there, by silence, average rate and total time."""
        limits, now = self._limits, time.monotonic()
        by_rate = self._began + limits.grace_seconds + self._received / limits.min_bytes_per_second
        return min(now + limits.silence_seconds, by_rate, self._began + limits.max_seconds) - now


def may_have_body(scope: Scope) -> bool:
    """HTTP/1.1 announces a body; in HTTP/2 one may come without a header that says so."""
    announced = header(scope, "content-length") not in (None, "0") or header(scope, "transfer-encoding")
    return bool(announced) or scope["method"] not in ("GET", "HEAD", "OPTIONS")


def with_body(scope: Scope, file: IO[bytes], size: int) -> Scope:
    """The request with its received body, whose length is now known however it came."""
    dropped = (b"content-length", b"transfer-encoding")
    headers: Headers = [(k, v) for k, v in scope["headers"] if k.lower() not in dropped]
    return {**scope, "headers": [*headers, (b"content-length", b"%d" % size)], BODY_KEY: file}


def closing(send: Send) -> Send:
    """Announces that the connection ends with this response: bytes of the body are still under way."""

    async def announce(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return announce
