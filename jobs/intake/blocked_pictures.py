"""Pictures that no job may use: an operator blocked them, and whatever looks the same is refused."""

from jobs.intake.probes.base import IntakeError
from jobs.models import BlockedPicture

MAX_DIFFERENCE = 6
"""Of 64 bits. Another size, format or compression of a picture changes one or two; other pictures, dozens."""


def refuse(picture_hash: str | None) -> None:
    """Refuse a picture by its hash; one without a hash passes.

    Raises:
        IntakeError: `content_rejected`, with the category and no more.
    """
    if picture_hash is None:
        return
    for blocked, category in BlockedPicture.objects.values_list("picture_hash", "category"):
        if difference(blocked, picture_hash) <= MAX_DIFFERENCE:
            raise IntakeError("content_rejected", f"This picture may not be used here ({category}).")


def difference(one: str, other: str) -> int:
    """How many bits two hashes, in hexadecimal digits, differ by."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
