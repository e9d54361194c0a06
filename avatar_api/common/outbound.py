"""HTTP to addresses that strangers name, which must not lead into our own network.

A name is looked up once, every address that it has must be public, and the connection goes to one of
these very addresses: a name that changes its mind between the check and the connection gains nothing.
Redirects are followed here, so that each is held to the same rules. One deadline spans the whole
exchange, and what arrives is counted while it arrives. Any port will do, since a public address has
nothing of ours on it. There are no proxies, no cookies and nothing from the environment; user name and
password in an address are sent to that address only.

No error names more of an address than its host: the rest may be secret.
"""

import base64
import contextlib
import hashlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urljoin

from django.conf import settings
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]

USER_AGENT = "Avatar-API/1"
MAX_URL = 2048
CONNECT_SECONDS = 5.0
PIECE = 64 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
DEFAULT_PORTS = {"https": 443, "http": 80}

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")


class OutboundError(Exception):
    """The exchange failed; the text may be shown to whoever named the address."""


class InvalidUrlError(OutboundError):
    """This is no address that we would ask: malformed, or another scheme than https."""


class ForbiddenAddressError(OutboundError):
    """The name leads somewhere that isn't public."""


class UnreachableError(OutboundError):
    """No such name, no connection, no valid certificate, or no proper HTTP."""


class TimedOutError(OutboundError):
    """The whole exchange took longer than it may."""


class TooLargeError(OutboundError):
    """The body has more bytes than it may."""


class TooManyRedirectsError(OutboundError):
    """One redirect after the other."""


class UnexpectedStatusError(OutboundError):
    """The answer isn't the file."""

    def __init__(self, host: str, status: int) -> None:
        super().__init__(f"{host} answered with status {status}.")
        self.status = status


@dataclass(frozen=True)
class Fetched:
    """What was fetched, as the server called it and as it is."""

    content_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Posted:
    """That there was an answer, and which; a redirect is an answer like any other."""

    status: int


@dataclass(frozen=True)
class Response:
    """An answer of any status, whole."""

    status: int
    body: bytes


def is_public(address: IPAddress) -> bool:
    """Whether an address is somebody's on the public internet.

    `is_global` alone would pass multicast and those forms of IPv6 that carry an IPv4 address (mapped,
    compatible, NAT64) or are nobody's; of IPv6, only what is assigned as global unicast passes, and of
    that not 6to4.
    """
    if isinstance(address, ipaddress.IPv6Address):
        return address in GLOBAL_UNICAST and address not in SIX_TO_FOUR and address.is_global
    return address.is_global and not address.is_multicast


def look_up(host: str, port: int) -> list[str]:
    """All addresses that the system's resolver knows for a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


@cache
def system_trust() -> ssl.SSLContext:
    return ssl.create_default_context()


@dataclass(frozen=True)
class Rules:
    """What may be reached, and how.

    Attributes:
        schemes: The schemes that an address may have.
        may_reach: Whether an address of the network may be connected to.
        resolve: All addresses of a host.
        tls: Whose certificates are trusted.
    """

    schemes: frozenset[str] = frozenset({"https"})
    may_reach: Callable[[IPAddress], bool] = is_public
    resolve: Resolver = look_up
    tls: ssl.SSLContext = field(default_factory=system_trust)


def deployment_rules() -> Rules:
    """Those of this deployment: public ones, unless a developer's settings say otherwise."""
    return operators_rules() if settings.OUTBOUND_ALLOW_PRIVATE else Rules()


def operators_rules() -> Rules:
    """For an address that the operator chose and no stranger: it may be anywhere."""
    return Rules(schemes=frozenset({"https", "http"}), may_reach=lambda _: True)


@dataclass(frozen=True)
class Target:
    """An address, taken apart once, so that what is checked is what is requested.

    Attributes:
        path: With the query.
        authorization: The header that user name and password in the address stand for.
    """

    scheme: str
    host: str
    port: int
    path: str
    authorization: str | None

    @classmethod
    def parse(cls, url: str, rules: Rules) -> "Target":
        """Raises: InvalidUrlError: it isn't a full address with one of the schemes."""
        parts = _parts(url)
        if parts is None or not parts.host or parts.scheme not in rules.schemes:
            allowed = " or ".join(sorted(rules.schemes))
            raise InvalidUrlError(f"The URL must use {allowed} and have at most {MAX_URL} characters.")
        credentials = base64.b64encode(unquote_to_bytes(parts.auth)).decode() if parts.auth else None
        return cls(
            scheme=parts.scheme,
            host=parts.host.strip("[]"),
            port=DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port,
            path=parts.request_uri,
            authorization=f"Basic {credentials}" if credentials else None,
        )


def _parts(url: str) -> Url | None:
    try:
        return parse_url(url) if len(url) <= MAX_URL else None
    except LocationParseError:  # It holds the address, so it goes no further.
        return None


class Deadline:
    """The end of an exchange, however many parts it has."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def left(self) -> float:
        """Seconds that are left; raises TimedOutError when there are none."""
        if self.is_over():
            raise TimedOutError("The request timed out.")
        return self._end - time.monotonic()

    @contextlib.contextmanager
    def cutting(self, connection: socket.socket) -> Iterator[None]:
        """Ends the connection when the time is up.

        A socket's own time-out starts anew with every byte, so that a peer could drip for ever.
        """
        timer = threading.Timer(self.left(), _cut, [connection])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def naming_failures(self, host: str) -> Iterator[None]:
        """Turns what goes wrong on the way into our own errors."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            if self.is_over():
                raise TimedOutError(f"{host} did not respond in time.") from error
            raise UnreachableError(f"{host} can't be reached: {type(error).__name__}.") from error


def _cut(connection: socket.socket) -> None:
    # Not the method of a TLS socket, which would take the encryption off and leave a plain one to the reader.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def fetch_to_file(
    url: str,
    target: Path | BinaryIO,
    *,
    max_bytes: int,
    seconds: float,
    max_redirects: int = 3,
    rules: Rules | None = None,
) -> Fetched:
    """Write what an address holds to a file, without undoing any content encoding.

    Args:
        url: Where it is; user name and password in it become basic authentication.
        target: Where to put it. After an error it may hold a part.
        max_bytes: How much it may be.
        seconds: How long all of it may take, redirects included.
        max_redirects: How many may be followed.
        rules: Those of the deployment by default.

    Raises:
        OutboundError: The file wasn't fetched, for the reason that the class names.
    """
    rules = rules or deployment_rules()
    deadline = Deadline(seconds)
    for _ in range(max_redirects + 1):
        source = Target.parse(url, rules)
        with _answer("GET", source, rules, deadline) as response:
            location = response.headers["Location"]
            if response.status in REDIRECTS and location:
                url = _follow(url, location)
                continue
            if response.status != 200:
                raise UnexpectedStatusError(source.host, response.status)
            pieces = _pieces(response, source.host, max_bytes, deadline)
            size_bytes, sha256 = _write(pieces, target)
            return Fetched(response.headers.get("Content-Type", ""), size_bytes, sha256)
    raise TooManyRedirectsError(f"The URL redirects more than {max_redirects} times.")


def post(
    url: str, body: bytes, headers: Mapping[str, str], seconds: float, *, rules: Rules | None = None
) -> Posted:
    """Send `body` and wait for the status; redirects aren't followed, the answer's body isn't read.

    Raises:
        OutboundError: There was no answer, for the reason that the class names.
    """
    rules = rules or deployment_rules()
    target = Target.parse(url, rules)
    with _answer("POST", target, rules, Deadline(seconds), body, headers) as response:
        return Posted(response.status)


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
    deadline = Deadline(seconds)
    with _answer(method, target, rules, deadline, body, headers) as response:
        return Response(response.status, b"".join(_pieces(response, target.host, max_bytes, deadline)))


def _follow(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise InvalidUrlError("The URL redirects to a malformed URL.") from None


@contextlib.contextmanager
def _answer(
    method: str,
    target: Target,
    rules: Rules,
    deadline: Deadline,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """One request and its answer, whose body is still to be read."""
    sent = {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close", **(headers or {})}
    if target.authorization:
        sent["Authorization"] = target.authorization
    with contextlib.closing(_connect(target, rules, deadline)) as connection, deadline.cutting(connection):
        with deadline.naming_failures(target.host):
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            spoken = http.client.HTTPConnection(target.host, target.port)
            spoken.default_port = DEFAULT_PORTS[target.scheme]  # Which the Host header leaves out.
            spoken.sock = connection
            spoken.request(method, target.path, body, sent)
            response = spoken.getresponse()
        with response:
            yield response


def _connect(target: Target, rules: Rules, deadline: Deadline) -> socket.socket:
    """A connection to one of the addresses that were checked; TLS hasn't shaken hands yet."""
    with deadline.naming_failures(target.host):
        connection = _first_that_answers(_checked_addresses(target, rules, deadline), target.port, deadline)
    if target.scheme == "http":
        return connection
    return rules.tls.wrap_socket(
        connection, server_hostname=target.host.rstrip("."), do_handshake_on_connect=False
    )


def _checked_addresses(target: Target, rules: Rules, deadline: Deadline) -> list[IPAddress]:
    addresses = [ipaddress.ip_address(found) for found in _resolve(target, rules, deadline)]
    if not all(rules.may_reach(address) for address in addresses):
        raise ForbiddenAddressError(
            f"The URL resolves to a private address, which is not allowed: {target.host}."
        )
    return addresses


def _resolve(target: Target, rules: Rules, deadline: Deadline) -> list[str]:
    """Look the host up, in a thread, because the system's resolver knows no deadline."""
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            answer.set_result(rules.resolve(target.host, target.port))
        except (OSError, UnicodeError) as error:  # The latter for a label of more than 63 characters.
            answer.set_exception(OSError(str(error)))

    threading.Thread(target=ask, daemon=True).start()
    return answer.result(deadline.left())


def _first_that_answers(addresses: list[IPAddress], port: int, deadline: Deadline) -> socket.socket:
    last: OSError = OSError("no address")
    for address in addresses:
        timeout = min(deadline.left(), CONNECT_SECONDS)
        try:
            connection = socket.create_connection((str(address), port), timeout=timeout)
        except OSError as error:
            last = error
        else:
            connection.settimeout(deadline.left())
            return connection
    raise last


def _pieces(
    response: http.client.HTTPResponse, host: str, max_bytes: int, deadline: Deadline
) -> Iterator[bytes]:
    """The body as it comes; raises TooLargeError as soon as it is known to be."""
    size = response.length or 0  # As announced.
    received = 0
    while max(size, received) <= max_bytes:
        with deadline.naming_failures(host):
            piece = response.read(PIECE)
        if not piece:
            deadline.left()
            if response.length:
                raise UnreachableError(f"{host} closed the connection before the response was complete.")
            return
        received += len(piece)
        if received <= max_bytes:
            yield piece
    raise TooLargeError(f"The file is larger than {max_bytes} bytes.")


def _write(pieces: Iterator[bytes], target: Path | BinaryIO) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") if isinstance(target, Path) else contextlib.nullcontext(target) as file:
        for piece in pieces:
            digest.update(piece)
            size += file.write(piece)
    return size, digest.hexdigest()
