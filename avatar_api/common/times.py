"""Times as they come in, with an offset, and as they go out, in UTC: read and written in one place."""

from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime

EXPECTED = "A time with its offset is expected, such as 2026-11-21T18:27:27Z."


class TimeError(ValueError):
    """The text is no time, has no offset, or lies beyond the calendar."""


def read_time(text: str) -> datetime:
    """A time of RFC 3339 in UTC. Postgres takes no offset of 16 hours, and a calendar has an end.

    Raises:
        TimeError: It can't be read.
    """
    try:
        moment = parse_datetime(text)
        if moment is None or moment.tzinfo is None:
            raise TimeError(EXPECTED)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise TimeError(EXPECTED) from error


def write_time(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, such as `2026-11-21T18:27:27.378Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
