"""One request and its answer, asynchronously, to an address that was checked."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import h11

from avatar_api.common.outbound.addresses import IPAddress, Rules, Target, begin_lookup, checked
from avatar_api.common.outbound.errors import TimedOutError, UnreachableError

USER_AGENT = "Avatar-API/1"
# To one address, TLS included.
CONNECT_SECONDS = 10.0
PIECE = 64 * 1024
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100


class Answer:
    """The head of an answer, and its body as it comes."""

    def __init__(self, host: str, reader: asyncio.StreamReader, http: h11.Connection) -> None:
        self._host = host
        self._reader = reader
        self._http = http
        self.status = 0
        self.headers: dict[str, str] = {}

    async def receive_head(self) -> None:
        with naming_failures(self._host):
            head = await self._next_event()
            while isinstance(head, h11.InformationalResponse):
                head = await self._next_event()
            if not isinstance(head, h11.Response) or len(head.headers) > MAX_HEADERS:
                raise h11.RemoteProtocolError("no proper answer")
        self.status = head.status_code
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}

    @property
    def announced_bytes(self) -> int:
        """As many bytes as the server says that the body has; 0 when it doesn't."""
        return int(self.headers.get("content-length", 0))

    async def read(self) -> bytes:
        """The next piece of the body, at most 64 kB; empty at its end. Canceled, it loses nothing."""
        with naming_failures(self._host):
            event = await self._next_event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(PIECE))
        return event


@contextlib.asynccontextmanager
async def exchanged(
    method: str, target: Target, rules: Rules, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> AsyncIterator[Answer]:
    """Send a request and await the head of its answer; the connection is closed afterwards.

    Raises:
        OutboundError: There was no answer, for the reason that the class names.
    """
    reader, writer = await _connect(target, rules)
    try:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        answer = Answer(target.host, reader, http)
        with naming_failures(target.host):
            writer.write(_encoded(http, method, target, body, headers or {}))
            await writer.drain()
        await answer.receive_head()
        yield answer
    finally:
        # Not `close`, which would wait for the peer to agree to the end of the encryption.
        writer.transport.abort()


REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLError, "its certificate or encryption isn't accepted"),
    (socket.gaierror, "its name can't be resolved"),
    (ConnectionRefusedError, "it refused the connection"),
    (ConnectionError, "it closed the connection"),
    (h11.ProtocolError, "its answer isn't HTTP"),
)


@contextlib.contextmanager
def naming_failures(host: str) -> Iterator[None]:
    """Turns what goes wrong on the way into our own errors."""
    try:
        yield
    except (OSError, h11.ProtocolError) as error:
        raise UnreachableError(f"{host} can't be reached: {reason_of(error)}.") from error


def reason_of(error: Exception) -> str:
    """What went wrong, for whoever gave the address."""
    return next((reason for kind, reason in REASONS if isinstance(error, kind)), "the network failed")


@contextlib.asynccontextmanager
async def within(seconds: float, host: str) -> AsyncIterator[None]:
    """Raises: TimedOutError: what is done meanwhile takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimedOutError(f"{host} did not respond in time.") from error


def _encoded(
    http: h11.Connection, method: str, target: Target, body: bytes, headers: Mapping[str, str]
) -> bytes:
    sent = {
        "Host": target.host_header,
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Connection": "close",
        **headers,
    }
    if body:
        sent["Content-Length"] = str(len(body))
    if target.authorization:
        sent["Authorization"] = target.authorization
    parts = [
        http.send(h11.Request(method=method, target=target.path, headers=list(sent.items()))),
        http.send(h11.Data(data=body)) if body else b"",
        http.send(h11.EndOfMessage()),
    ]
    return b"".join(part or b"" for part in parts)


async def _connect(target: Target, rules: Rules) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to one of the addresses that were checked."""
    with naming_failures(target.host):
        found = await asyncio.wrap_future(begin_lookup(target, rules))
        last: OSError = OSError("no address")
        for address in checked(found, target, rules):
            try:
                return await _open(address, target, rules)
            except OSError as error:
                last = error
        raise last


async def _open(
    address: IPAddress, target: Target, rules: Rules
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls: dict[str, Any] = (
        {"ssl": rules.tls, "server_hostname": target.host.rstrip(".")} if target.scheme == "https" else {}
    )
    async with asyncio.timeout(CONNECT_SECONDS):
        return await asyncio.open_connection(str(address), target.port, limit=PIECE, **tls)
