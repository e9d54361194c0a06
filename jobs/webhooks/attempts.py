"""What is kept of each try of a delivery, for the customer who looks for a fault."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from avatar_api.common.fields import TimestampField

ANSWER_BYTES = 2048
KEPT = 20
"""Those of the schedule, and a dozen that somebody asked for; older ones go."""


@dataclass(frozen=True)
class Attempt:
    """One try.

    Attributes:
        at: When it began, in RFC 3339.
        status: What the receiver answered, if it did.
        seconds: How long the answer took.
        answer: The beginning of its body as text, or why there is none.
    """

    at: str
    status: int | None
    seconds: float
    answer: str


def appended(
    attempts: list[dict[str, Any]], *, began: datetime, status: int | None, seconds: float, answer: str
) -> list[dict[str, Any]]:
    """The attempts with one more."""
    at = TimestampField().to_representation(began)
    return [*attempts, asdict(Attempt(at, status, round(seconds, 3), answer))][-KEPT:]


def as_text(beginning: bytes) -> str:
    """What a receiver said, such that the database takes it, which knows no NUL."""
    return beginning.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
