"""Signed, expiring addresses of files in the object store.

With R2 the store signs; with the folder store the API does, and serves the file itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from avatar_api.common.problems import Problem
from jobs.storage import presigned

SALT = "jobs.links"
LINK_SECONDS = 3600


@dataclass(frozen=True)
class Download:
    """A file that the bearer of a link may read."""

    key: str
    content_type: str
    filename: str


def base_url(request: HttpRequest) -> str:
    """Scheme and host under which clients reach us: as configured, else as this client wrote them."""
    return settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/")


def signed_url(base_url: str, download: Download, expires_at: datetime) -> str:
    """An address that works without a key for an hour at most, and never past `expires_at`."""
    until = min(timezone.now() + timedelta(seconds=LINK_SECONDS), expires_at)
    of_store = presigned.download_url(download.key, download.content_type, download.filename, until)
    return of_store or base_url + reverse("file", kwargs={"token": sign(download, until)})


def sign(download: Download, until: datetime) -> str:
    value = [download.key, download.content_type, download.filename, int(until.timestamp())]
    return signing.dumps(value, salt=SALT)


def read_token(token: str) -> Download:
    """The file that a token stands for.

    Raises:
        Problem: `not_found` when we never signed it, `expired` when its time is over.
    """
    try:
        key, content_type, filename, until = signing.loads(token, salt=SALT)
    except signing.BadSignature as error:
        raise Problem("not_found") from error
    if timezone.now().timestamp() > until:
        raise Problem("expired")
    return Download(key, content_type, filename)
