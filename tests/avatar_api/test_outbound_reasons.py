"""Why an address can't be reached is told in plain words."""

import socket
import ssl

import h11
import pytest

from avatar_api.common.outbound.errors import UnreachableError
from avatar_api.common.outbound.exchange import naming_failures


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ssl.SSLCertVerificationError("x"), "certificate"),
        (socket.gaierror(-2, "x"), "name"),
        (ConnectionRefusedError(), "refused"),
        (ConnectionResetError(), "closed"),
        (h11.RemoteProtocolError("x"), "HTTP"),
        (OSError(113, "x"), "network"),
    ],
)
def test_a_reason_names_no_class_of_python(error: Exception, reason: str) -> None:
    with pytest.raises(UnreachableError) as raised, naming_failures("files.example"):
        raise error
    assert reason in str(raised.value)
    assert type(error).__name__ not in str(raised.value)
