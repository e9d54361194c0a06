"""The life of a job, without a database: its states and which may follow which."""

from django.db.models import TextChoices


class Status(TextChoices):
    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class Stage(TextChoices):
    """What a job that hasn't ended is at."""

    FETCHING = "fetching"
    SPEAKING = "speaking"
    WAITING = "waiting"
    STARTING = "starting"
    ENCODING = "encoding"
    SAMPLING = "sampling"
    DECODING = "decoding"
    UPLOADING = "uploading"


OPEN = frozenset({Status.QUEUED, Status.PROCESSING})
FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})

# A job that was lost or handed back waits again, so processing may go back to queued.
FOLLOWERS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.PROCESSING, Status.FAILED, Status.CANCELED}),
    Status.PROCESSING: frozenset({Status.QUEUED, Status.SUCCEEDED, Status.FAILED, Status.CANCELED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELED: frozenset(),
}


def sources_of(target: Status) -> frozenset[Status]:
    """The states from which a job may come to `target`."""
    return frozenset(source for source, targets in FOLLOWERS.items() if target in targets)
