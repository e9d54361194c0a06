"""Which addresses may be reached: what is public, and what a deployment allows."""

import base64
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import unquote_to_bytes

from django.conf import settings
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from avatar_api.common.outbound.errors import ForbiddenAddressError, InvalidUrlError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]

MAX_URL = 2048
LOCALHOST = "localhost"
DEFAULT_PORTS = {"https": 443, "http": 80}

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# What the registries reserve and `is_global` of one Python or another lets pass.
RESERVED = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # IETF protocol assignments
            "192.88.99.0/24",  # relays of 6to4
            "2001::/23",  # IETF protocol assignments, such as Teredo
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)


def is_public(address: IPAddress) -> bool:
    """Whether an address is somebody's on the public internet.

    `is_global` alone would pass multicast and those forms of IPv6 that carry an IPv4 address (mapped,
    compatible, NAT64) or are nobody's, and its tables differ between releases of Python; of IPv6, only what
    is assigned as global unicast passes.
    """
    if any(address in network for network in RESERVED):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in GLOBAL_UNICAST and address.is_global
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

    def refuse_literal(self, host: str) -> None:
        """Refuse a host that is itself an address which may not be reached; names pass.

        Raises:
            ForbiddenAddressError: It is one.
        """
        address = literal_address(host)
        if address is not None and not self.may_reach(address):
            raise ForbiddenAddressError(host)


def literal_address(host: str) -> IPAddress | None:
    """The address that a host is written as, in any form that the system's resolver reads, such as 0x7f.1."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


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

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def _parts(url: str) -> Url | None:
    try:
        return parse_url(url) if len(url) <= MAX_URL else None
    except LocationParseError:  # It holds the address, so it goes no further.
        return None


def check_when_set(url: str) -> Target:
    """Take an address apart that somebody names for later; where a name leads is checked at each connection.

    Raises:
        InvalidUrlError: It isn't a full address with a scheme of this deployment.
        ForbiddenAddressError: Its host is written as an address that may not be reached.
    """
    rules = deployment_rules()
    parts = _parts(url)
    host = parts.host.strip("[]") if parts is not None and parts.host else ""
    # Before the scheme: whoever develops writes http and wants to hear of the setting that allows both.
    rules.refuse_literal(host)
    try:
        return Target.parse(url, rules)
    except InvalidUrlError:
        if host == LOCALHOST:
            raise ForbiddenAddressError(host) from None
        raise


def begin_lookup(target: Target, rules: Rules) -> Future[list[str]]:
    """Look the host up in a thread of its own, because the system's resolver knows no deadline."""
    answer: Future[list[str]] = Future()
    answer.set_running_or_notify_cancel()  # Who waits no longer leaves the thread to its own end.

    def look() -> None:
        try:
            answer.set_result(rules.resolve(target.host, target.port))
        except (OSError, UnicodeError) as error:  # The latter for a label of more than 63 characters.
            answer.set_exception(OSError(str(error)))

    threading.Thread(target=look, daemon=True).start()
    return answer


def checked(found: list[str], target: Target, rules: Rules) -> list[IPAddress]:
    """Raises: ForbiddenAddressError: one of the host's addresses may not be reached."""
    addresses = [ipaddress.ip_address(address) for address in found]
    if not all(rules.may_reach(address) for address in addresses):
        raise ForbiddenAddressError(target.host)
    return addresses
