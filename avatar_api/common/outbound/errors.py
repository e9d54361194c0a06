"""What may go wrong on the way to an address. No text names more of the address than its host."""


class OutboundError(Exception):
    """The exchange failed; the text may be shown to whoever named the address."""


class InvalidUrlError(OutboundError):
    """This is no URL that we would request: malformed, or another scheme than https."""


class ForbiddenAddressError(OutboundError):
    """The name leads somewhere that isn't public."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The URL leads to a private address, which is not allowed: {host}. "
            "In development, OUTBOUND_ALLOW_PRIVATE=1 allows it."
        )


class UnreachableError(OutboundError):
    """No such name, no connection, no valid certificate, or no proper HTTP."""


class TimedOutError(OutboundError):
    """The whole exchange took longer than it may."""


class TooSlowError(OutboundError):
    """Less arrives in a second than must."""


class TooLargeError(OutboundError):
    """The body has more bytes than it may."""


class TooManyRedirectsError(OutboundError):
    """One redirect after the other."""


class UnexpectedStatusError(OutboundError):
    """The answer isn't the file."""

    def __init__(self, host: str, status: int) -> None:
        super().__init__(f"{host} answered with status {status}.")
        self.status = status


class InterruptedExchangeError(Exception):
    """The caller's own process gave the exchange up; it says nothing about the address."""
