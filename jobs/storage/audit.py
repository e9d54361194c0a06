"""Whether the store holds what the rows say, and nothing else.

An object is known when a row answers for its end: it lies below the folder of an asset, or of a job whose
files haven't expired. What no row knows stays for ever unless somebody looks: what a render worker wrote
after its job was deleted, what was uploaded to an asset after its end, what a restored database forgot.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils import timezone

from avatar_api.common.chunks import by_pk
from avatar_api.common.ids import id_pattern
from gpu_worker.contract import storage_keys
from jobs.models import Asset, Job
from jobs.states import Status
from jobs.storage import objects
from jobs.storage.objects import StoredObject

GRACE = timedelta(hours=1)
"""A job's inputs are stored a moment before its row is committed, and a large file takes its time."""
ROWS = 500
COLUMNS = ("organization_id", "inputs", "window_prefixes", "status", "attempt")

KEYS = [
    re.compile(prefix("(?P<organization>[^/]+)", f"(?P<row>{id_pattern(kind)})") + ".+")
    for prefix, kind in ((storage_keys.job_prefix, "job"), (storage_keys.asset_prefix, "ast"))
]
"""What belongs to a row, a pattern for jobs and one for assets."""


class FindingKind(StrEnum):
    UNKNOWN_OBJECT = "unknown_object"
    UNFINISHED_UPLOAD = "unfinished_upload"
    MISSING_OBJECT = "missing_object"


@dataclass(frozen=True)
class Finding:
    """Something that the store holds and shouldn't, or should and doesn't.

    Attributes:
        job: Of a missing object, the job that needs it.
        size_bytes: Of an unknown object.
        since: When the object was written, or the upload began.
    """

    kind: FindingKind
    key: str
    job: str = ""
    size_bytes: int = 0
    since: datetime | None = None
    deleted: bool = False


class Audit:
    """One comparison of store and rows; it holds no more than a page of either.

    Args:
        grace: Age below which nothing is called unknown.
        delete: Remove unknown objects and unfinished uploads.

    Attributes:
        objects: How many were in the store.
        young: Objects and uploads that no row knows yet, and that were left alone because of their age.
        jobs: How many have files that haven't expired.
    """

    def __init__(self, *, grace: timedelta = GRACE, delete: bool = False) -> None:
        self._before = timezone.now() - grace
        self._delete = delete
        self.objects = 0
        self.young = 0
        self.jobs = 0

    def findings(self) -> Iterator[Finding]:
        """What is wrong, as it is found."""
        yield from self._unknown_objects()
        yield from self._unfinished_uploads()
        yield from self._missing_objects()

    def _unknown_objects(self) -> Iterator[Finding]:
        for page in objects.pages():
            self.objects += len(page)
            unknown = _without_row(page)
            old = [item for item in unknown if item.modified < self._before]
            self.young += len(unknown) - len(old)
            if self._delete:
                objects.delete(old)
            for item in old:
                yield Finding(
                    FindingKind.UNKNOWN_OBJECT,
                    item.key,
                    size_bytes=item.size_bytes,
                    since=item.modified,
                    deleted=self._delete,
                )

    def _unfinished_uploads(self) -> Iterator[Finding]:
        for upload in objects.unfinished_uploads():
            if upload.began >= self._before:
                self.young += 1
                continue
            if self._delete:
                objects.abort(upload)
            yield Finding(FindingKind.UNFINISHED_UPLOAD, upload.key, since=upload.began, deleted=self._delete)

    def _missing_objects(self) -> Iterator[Finding]:
        for job in by_pk(Job.objects.filter(expired=False).only(*COLUMNS), ROWS):
            self.jobs += 1
            missing = _missing_of(job)
            # It may have expired since its row was read.
            if missing and Job.objects.filter(pk=job.pk, expired=False).exists():
                yield from (Finding(FindingKind.MISSING_OBJECT, key, job=job.pk) for key in missing)


def _without_row(page: list[StoredObject]) -> list[StoredObject]:
    owners = {item.key: _owner_of(item.key) for item in page}
    ids = {owner[0] for owner in owners.values() if owner}
    jobs = Job.objects.filter(pk__in=ids, expired=False).values_list("pk", "organization_id")
    assets = Asset.objects.filter(pk__in=ids).values_list("pk", "organization_id")
    known = {*jobs, *assets}
    return [item for item in page if owners[item.key] not in known]


def _owner_of(key: str) -> tuple[str, str] | None:
    """The ids of the row to which an object belongs and of its organization, as its key says."""
    found = next((match for pattern in KEYS if (match := pattern.fullmatch(key))), None)
    return (found["row"], found["organization"]) if found else None


def _missing_of(job: Job) -> list[str]:
    prefix = storage_keys.job_prefix(job.organization_id, job.pk)
    there = {item.key for page in objects.pages(prefix) for item in page}
    return [key for key in needed_keys(job) if key not in there]


def needed_keys(job: Job) -> list[str]:
    """What must be in the store as long as the job's files haven't expired."""
    items = [job.inputs["reference"], *job.inputs["speech"]]
    keys = [item["file"]["key"] for item in items if "file" in item]
    keys += [storage_keys.init_section(prefix) for prefix in job.window_prefixes[:1]]
    keys += [storage_keys.segment(prefix, window) for window, prefix in enumerate(job.window_prefixes)]
    if job.status == Status.SUCCEEDED:
        prefix = storage_keys.attempt_prefix(job.organization_id, job.pk, job.attempt)
        keys += [storage_keys.output_video(prefix), storage_keys.thumbnail(prefix)]
    return keys
