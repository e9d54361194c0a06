"""Addresses that the store itself serves: a bucket signs them, a folder can't and has None.

A rule of every such address: it works without a key, for one object and for a while.
"""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.core.files.storage import default_storage
from django.utils import timezone

from jobs.storage.objects import bucket, is_bucket


def origin() -> str | None:
    """Scheme and host of the addresses that the store serves; None for a folder."""
    if not is_bucket():
        return None
    address = urlsplit(default_storage.url("any"))
    return f"{address.scheme}://{address.netloc}"


def download_url(key: str, content_type: str, filename: str, until: datetime) -> str | None:
    if not is_bucket():
        return None
    store: Any = default_storage  # The `url` of an S3 store takes more than the common interface says.
    url: str = store.url(
        key,
        parameters={
            "ResponseContentType": content_type,
            "ResponseContentDisposition": f'inline; filename="{filename}"',
        },
        expire=_seconds_to(until),
    )
    return url


def upload_url(key: str, content_type: str, size_bytes: int, until: datetime) -> str | None:
    """For one PUT with exactly this type, this size and `If-None-Match: *`, which forbids to overwrite."""
    if not is_bucket():
        return None
    url: str = bucket().meta.client.generate_presigned_url(
        "put_object",
        Params={
            "Bucket": bucket().name,
            "Key": key,
            "ContentType": content_type,
            "ContentLength": size_bytes,
            "IfNoneMatch": "*",
        },
        ExpiresIn=_seconds_to(until),
    )
    return url


def _seconds_to(until: datetime) -> int:
    return max(1, int((until - timezone.now()).total_seconds()))
