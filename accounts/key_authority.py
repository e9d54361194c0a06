"""How far a key's authority reaches: the keys that it makes, rotates or revokes never go beyond it."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from accounts.models import ApiKey
from accounts.scopes import with_included


class BeyondAuthorityError(Exception):
    """A key would be made, rotated or revoked that may do more than its maker; the text names what."""


@dataclass(frozen=True)
class Authority:
    """What a key may do, or what whoever makes keys may hand on.

    Attributes:
        scopes: The scopes.
        allowed_ips: Networks from which it may be used; empty: any.
        ends_at: When it ends; None: never.
    """

    scopes: frozenset[str]
    allowed_ips: tuple[str, ...] = ()
    ends_at: datetime | None = None

    @classmethod
    def of_key(cls, api_key: ApiKey) -> Self:
        return cls(with_included(api_key.scopes), tuple(api_key.allowed_ips), api_key.lifetime_ends_at)

    def require(self, other: "Authority") -> None:
        """Raises: BeyondAuthorityError: `other` reaches further than this."""
        if missing := other.scopes - self.scopes:
            raise BeyondAuthorityError(
                f"The creator of the key does not have the scopes {', '.join(sorted(missing))}."
            )
        if self.allowed_ips and not (other.allowed_ips and all(map(self._includes, other.allowed_ips))):
            raise BeyondAuthorityError(
                "The creator of the key is restricted to addresses that do not include these."
            )
        if self.ends_at is not None and (other.ends_at is None or other.ends_at > self.ends_at):
            raise BeyondAuthorityError("The creator of the key expires before this time.")

    def _includes(self, network: str) -> bool:
        inner = ipaddress.ip_network(network)
        return any(_is_within(inner, ipaddress.ip_network(outer)) for outer in self.allowed_ips)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _is_within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]
