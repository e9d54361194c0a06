"""Every object of the store, whoever knows it: listed page by page and deleted in bulk.

The store is a bucket, or a folder of which each file is an object.
"""

import hashlib
import os
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import Any

from django.core.files.storage import default_storage

from avatar_api.common.transient_errors import NotDeletedError

PAGE = 1000
"""Objects a page: as many as S3 lists, and deletes, with one request."""
WITH_MD5 = ("DeleteObjects", "PutBucketLifecycleConfiguration", "PutBucketCors")
"""Those of our requests that S3 refused without `Content-MD5` before there were other checksums."""


@dataclass(frozen=True)
class StoredObject:
    key: str
    size_bytes: int
    modified: datetime


@dataclass(frozen=True)
class UnfinishedUpload:
    """Parts of a file that was never completed: they are in no listing, but cost like any other."""

    key: str
    upload_id: str
    began: datetime


def is_bucket() -> bool:
    return hasattr(default_storage, "bucket")


def pages(prefix: str = "") -> Iterator[list[StoredObject]]:
    """All objects below a prefix, never more than a page of them in memory."""
    if is_bucket():
        yield from _pages_of_bucket(prefix)
        return
    files = _files_below(Path(default_storage.path(prefix)))
    while page := list(islice(files, PAGE)):
        yield page


def delete(objects: list[StoredObject]) -> None:
    """Delete a page of objects; one that is gone already counts as deleted.

    Raises:
        NotDeletedError: The store refused.
    """
    if not is_bucket():
        for item in objects:
            Path(default_storage.path(item.key)).unlink(missing_ok=True)
    elif objects:
        keys = [{"Key": item.key} for item in objects]
        answer = bucket().delete_objects(Delete={"Objects": keys, "Quiet": True})
        if refused := answer.get("Errors"):
            raise NotDeletedError(f"{len(refused)} objects, the first with {refused[0].get('Code')}")


def delete_prefix(prefix: str) -> None:
    """Delete every object below a prefix; in a folder the folders as well.

    Raises:
        NotDeletedError: The store refused.
    """
    if is_bucket():
        for page in pages(prefix):
            delete(page)
    elif Path(default_storage.path(prefix)).exists():
        rmtree(default_storage.path(prefix))


def unfinished_uploads() -> Iterator[UnfinishedUpload]:
    """Multipart uploads that were begun and not completed; a folder has none."""
    if is_bucket():
        listing = bucket().meta.client.get_paginator("list_multipart_uploads")
        for answer in listing.paginate(Bucket=bucket().name, PaginationConfig={"PageSize": PAGE}):
            for item in answer.get("Uploads", []):
                yield UnfinishedUpload(item["Key"], item["UploadId"], item["Initiated"])


def abort(upload: UnfinishedUpload) -> None:
    """Remove the parts of an upload."""
    bucket().meta.client.abort_multipart_upload(
        Bucket=bucket().name, Key=upload.key, UploadId=upload.upload_id
    )


def _pages_of_bucket(prefix: str) -> Iterator[list[StoredObject]]:
    listing = bucket().meta.client.get_paginator("list_objects_v2")
    settings = {"PageSize": PAGE}
    for answer in listing.paginate(Bucket=bucket().name, Prefix=prefix, PaginationConfig=settings):
        yield [
            StoredObject(item["Key"], item["Size"], item["LastModified"])
            for item in answer.get("Contents", [])
        ]


def _files_below(folder: Path) -> Iterator[StoredObject]:
    """The files of a tree that others change meanwhile: what has gone since it was seen is left out."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(Path(entry.path))
            else:
                yield from _file(entry)


def _file(entry: "os.DirEntry[str]") -> Iterator[StoredObject]:
    try:
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    key = Path(entry.path).relative_to(default_storage.path("")).as_posix()
    yield StoredObject(key, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))


def bucket() -> Any:
    """The bucket of an S3 store, which the common interface of stores doesn't name."""
    found = default_storage.bucket  # type: ignore[attr-defined]
    for operation in WITH_MD5:
        found.meta.client.meta.events.register(f"before-call.s3.{operation}", _add_md5, unique_id=operation)
    return found


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Some S3 servers require the header; since botocore 1.36 only newer checksums are sent."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = b64encode(digest).decode()
