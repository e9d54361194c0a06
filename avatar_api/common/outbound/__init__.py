"""HTTP to addresses that strangers name, which must not lead into our own network.

A name is looked up once, every address that it has must be public, and the connection goes to one of
these very addresses: a name that changes its mind between the check and the connection gains nothing.
Redirects are followed here, so that each is held to the same rules. One deadline spans the whole
exchange, and what arrives is counted while it arrives. Any port will do, since a public address has
nothing of ours on it. There are no proxies, no cookies and nothing from the environment; user name and
password in an address are sent to that address only.

No error names more of an address than its host: the rest may be secret.
"""

from avatar_api.common.outbound.addresses import (
    MAX_URL,
    Resolver,
    Rules,
    Target,
    check_when_set,
    deployment_rules,
    is_public,
    operators_rules,
    system_trust,
)
from avatar_api.common.outbound.calls import (
    Fetched,
    Interrupt,
    MinimumRate,
    Posted,
    Response,
    fetch_to_file,
    post,
    request,
)
from avatar_api.common.outbound.errors import (
    ForbiddenAddressError,
    InterruptedExchangeError,
    InvalidUrlError,
    OutboundError,
    TimedOutError,
    TooLargeError,
    TooManyRedirectsError,
    TooSlowError,
    UnexpectedStatusError,
    UnreachableError,
)

__all__ = [
    "MAX_URL",
    "Fetched",
    "ForbiddenAddressError",
    "Interrupt",
    "InterruptedExchangeError",
    "InvalidUrlError",
    "MinimumRate",
    "OutboundError",
    "Posted",
    "Resolver",
    "Response",
    "Rules",
    "Target",
    "TimedOutError",
    "TooLargeError",
    "TooManyRedirectsError",
    "TooSlowError",
    "UnexpectedStatusError",
    "UnreachableError",
    "check_when_set",
    "deployment_rules",
    "fetch_to_file",
    "is_public",
    "operators_rules",
    "post",
    "request",
    "system_trust",
]
