"""Ids that sort by time: a prefix and a ULID in lower case."""

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
LENGTH = 26


def new_id(prefix: str) -> str:
    """A new id such as `job_01jd…`: 48 bits of milliseconds, then 80 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    digits = [ALPHABET[(value >> shift) & 31] for shift in range(5 * (LENGTH - 1), -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def id_pattern(prefix: str) -> str:
    """The regular expression of such ids, for path converters and the OpenAPI document."""
    return f"{prefix}_[{ALPHABET}]{{{LENGTH}}}"
