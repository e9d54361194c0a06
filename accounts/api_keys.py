"""The text of an API key: mint, parse, verify. Pure functions, no database.

    av_live_<id>_<secret>        <secret> = 43 random characters + 6 of CRC-32

All of it is base62, so that a double click selects the whole key. The checksum covers everything
before it; a scanner or a client can tell a mistyped key without asking the server.
"""

import hashlib
import hmac
import re
import secrets
import time
import zlib
from dataclasses import dataclass, field

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 12
RANDOM_LENGTH = 43  # 62^43 > 2^256
CHECKSUM_LENGTH = 6  # 62^6 > 2^32

ID_PATTERN = f"[0-9A-Za-z]{{{ID_LENGTH}}}"
SECRET_PATTERN = f"[0-9A-Za-z]{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}}"
KEY = re.compile(f"av_(?P<mode>live|test)_(?P<id>{ID_PATTERN})_(?P<secret>{SECRET_PATTERN})")


class MalformedKeyError(ValueError):
    """The text isn't an API key: wrong shape or wrong checksum. Never quotes the text."""


@dataclass(frozen=True)
class ParsedKey:
    """A key that is well-formed, which says nothing about whether it was ever minted."""

    livemode: bool
    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class MintedKey:
    """A new key.

    Attributes:
        id: Public part, the primary key of its row.
        secret_sha256: What is stored of the secret.
        key: The whole text, to be shown once and kept nowhere.
    """

    id: str
    secret_sha256: str
    key: str = field(repr=False)


def mint(*, livemode: bool) -> MintedKey:
    """A new key with 256 random bits."""
    key_id = new_key_id()
    unsigned = f"av_{'live' if livemode else 'test'}_{key_id}_{random_base62(RANDOM_LENGTH)}"
    key = unsigned + checksum(unsigned)
    return MintedKey(key_id, secret_sha256(parse(key).secret), key)


def parse(text: str) -> ParsedKey:
    """The parts of a key.

    Raises:
        MalformedKeyError: The shape or the checksum is wrong.
    """
    match = KEY.fullmatch(text)
    if match is None or checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        raise MalformedKeyError("not an API key")
    return ParsedKey(match["mode"] == "live", match["id"], match["secret"])


def verify(parsed: ParsedKey, stored_sha256: str) -> bool:
    """Whether the secret is the one that was minted, in constant time.

    The secret ends in a checksum over the mode and the id, so a match proves these too.
    """
    return hmac.compare_digest(secret_sha256(parsed.secret), stored_sha256)


def secret_sha256(secret: str) -> str:
    """A secret of 256 random bits needs no slow hash: there is nothing to guess it from."""
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def checksum(text: str) -> str:
    return base62(zlib.crc32(text.encode("ascii")), CHECKSUM_LENGTH)


def new_key_id() -> str:
    """42 bits of milliseconds, then 29 random bits: ids sort by time, as all others of this API."""
    return base62((time.time_ns() // 1_000_000) << 29 | secrets.randbits(29), ID_LENGTH)


def random_base62(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def base62(number: int, length: int) -> str:
    """Most significant digit first, padded with `0`."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
