"""Ids that sort by time: a prefix, then time and chance in base32."""

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
LENGTH = 26


def new_id(prefix: str) -> str:
    """A new id such as `job_0d3k…`: 56 bits of microseconds, then 74 random bits."""
    value = (time.time_ns() // 1000) << 74 | secrets.randbits(74)
    digits = [ALPHABET[(value >> shift) & 31] for shift in range(5 * (LENGTH - 1), -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def id_pattern(prefix: str) -> str:
    """The regular expression of such ids, for path converters and the OpenAPI document."""
    return f"{prefix}_[{ALPHABET}]{{{LENGTH}}}"
