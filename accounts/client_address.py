"""Where a request came from, believing only the proxies that the deployment names."""

import ipaddress
import re

from django.conf import settings
from django.http import HttpRequest

WITH_PORT = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(request: HttpRequest) -> Address | None:
    """The address of the client that sent a request, or None where it can't be known."""
    return address_in(request.META.get("HTTP_X_FORWARDED_FOR", ""), request.META.get("REMOTE_ADDR", ""))


def address_in(forwarded_for: str, peer: str) -> Address | None:
    """The client's address, or None where it can't be known.

    Each proxy appends its peer to X-Forwarded-For, so with `TRUSTED_PROXY_HOPS` proxies of ours the
    client is that many entries from the right; what stands further left is the client's own claim.
    """
    hops = settings.TRUSTED_PROXY_HOPS
    if hops == 0:
        return read_address(peer)
    forwarded = forwarded_for.split(",")
    return read_address(forwarded[-hops]) if len(forwarded) >= hops else None


def read_address(text: str) -> Address | None:
    """An address, with or without a port, an IPv4 one inside IPv6 unwrapped; None for anything else."""
    match = WITH_PORT.fullmatch(text.strip())
    try:
        address = ipaddress.ip_address(match["v6"] or match["v4"] if match else text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def throttled_as(address: Address | None) -> str:
    """What counts as one client: an IPv4 address, or the /64 that one IPv6 subscriber has to itself."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def is_allowed(address: Address | None, networks: list[str]) -> bool:
    """Whether an allow-list admits the address; an empty list admits any, known or not."""
    if not networks:
        return True
    return address is not None and any(address in ipaddress.ip_network(network) for network in networks)
