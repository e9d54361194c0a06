"""One file from the hub: resumed where it was left, tried a few times, and checked against its digest."""

import errno
import logging
import random
import time
from pathlib import Path

from httpx2 import HTTPError

from gpu_worker.model_store.errors import HubError, NoSpaceError
from gpu_worker.model_store.hub import Hub, explain, status_of
from gpu_worker.model_store.plan import PlannedFile

log = logging.getLogger(__name__)

TRIES = 3
FIRST_PAUSE_SECONDS = 2.0
FINAL_STATUSES = frozenset({401, 403, 404, 410})


class WrongBytesError(OSError):
    """A file came whole, but not with the content that the hub says it has."""


def download(file: PlannedFile, hub: Hub, folder: Path) -> Path:
    """Get a file below `folder`, unless it is there; what an earlier run left of it is kept and gone on from.

    Raises:
        HubError: The hub refuses, or fails three times.
        NoSpaceError: The volume is full.
    """
    target = folder / file.local
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    for number in range(1, TRIES + 1):
        try:
            _try(file, hub, part)
            break
        except (HTTPError, OSError) as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise NoSpaceError(f"{folder} is full: make room there and run this again") from error
            if status_of(error) in FINAL_STATUSES or number == TRIES:
                raise HubError(_reason(error, file)) from error
            pause = FIRST_PAUSE_SECONDS * 2 ** (number - 1) * random.uniform(0.5, 1.5)  # noqa: S311
            log.warning("%s, next try in %.0f s", _reason(error, file), pause)
            time.sleep(pause)
    return part.replace(target)


def _try(file: PlannedFile, hub: Hub, part: Path) -> None:
    if part.exists() and part.stat().st_size > file.size:
        part.unlink()
    hub.fetch(file.source, file.revision, file.path, file.size, part)
    if not file.is_whole(part):
        part.unlink()
        raise WrongBytesError


def _reason(error: Exception, file: PlannedFile) -> str:
    if isinstance(error, WrongBytesError):
        return f"{file.path} of {file.source.repo} has other bytes than the hub says it has"
    return explain(error, file.source.repo)
