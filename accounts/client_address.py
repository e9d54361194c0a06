"""Where a request came from, believing only the proxies that the deployment names."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(request: HttpRequest) -> Address | None:
    """The client's address, or None where it can't be known.

    Each proxy appends its peer to X-Forwarded-For, so with `TRUSTED_PROXY_HOPS` proxies of ours the
    client is that many entries from the right; what stands further left is the client's own claim.
    """
    hops = settings.TRUSTED_PROXY_HOPS
    if hops == 0:
        return read_address(request.META.get("REMOTE_ADDR", ""))
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return read_address(forwarded[-hops]) if len(forwarded) >= hops else None


def read_address(text: str) -> Address | None:
    """An address, an IPv4 one inside IPv6 unwrapped; None for anything else."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_allowed(address: Address | None, networks: list[str]) -> bool:
    """Whether an allow-list admits the address; an empty list admits any, known or not."""
    if not networks:
        return True
    return address is not None and any(address in ipaddress.ip_network(network) for network in networks)
