"""What can go wrong in a render, and the one place that turns it into a job error code."""

from dataclasses import dataclass

from gpu_worker.engines.base import RenderError

STORAGE_FAILED = "storage_failed"
OUT_OF_MEMORY = "out_of_memory"
MODEL_UNAVAILABLE = "model_unavailable"
INTERNAL_ERROR = "internal_error"


class StorageError(Exception):
    """The object store could not be reached for longer than we wait, or does not hold what it should."""


class NoRoomError(StorageError):
    """The worker's disk was full for longer than we wait."""


class DamagedFileError(OSError):
    """A file came out of the object store with another size or digest than it was stored with."""


@dataclass(frozen=True)
class JobError:
    """An error as the user is told: a code of the contract, a sentence without paths or keys."""

    code: str
    detail: str


def translate(error: Exception) -> JobError:
    """What the user is told of an error that ended a render."""
    match error:
        case RenderError():
            return JobError(error.code, error.detail)
        case NoRoomError():
            return JobError(STORAGE_FAILED, "The worker has no room for its files.")
        case StorageError():
            return JobError(STORAGE_FAILED, "The object store could not be reached.")
        case MemoryError():
            return JobError(OUT_OF_MEMORY, "The render needs more memory than the worker has.")
        case _:
            return JobError(INTERNAL_ERROR, "An unexpected error stopped the render.")
