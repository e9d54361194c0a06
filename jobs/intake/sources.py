"""The ways in which a file may come: with the request, in it, by an address, as an asset, or as a text."""

import base64
import binascii
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

from django.core.files.uploadedfile import TemporaryUploadedFile
from urllib3.util import parse_url

from accounts.tenant import Tenant
from avatar_api.common import outbound
from avatar_api.common.outbound import (
    ForbiddenAddressError,
    InvalidUrlError,
    OutboundError,
    TooLargeError,
    UnexpectedStatusError,
)
from avatar_api.common.problems import Problem
from jobs.intake import assets
from jobs.intake.speech.texts import Spoken

MAX_DATA_URI_BYTES = 5 * 1024 * 1024
MAX_ENCODED = (MAX_DATA_URI_BYTES + 2) // 3 * 4
TOO_LARGE = f"A data: URI may contain at most {MAX_DATA_URI_BYTES} bytes."
DATA_URI = re.compile(r"data:[^,]{0,255};base64,", re.IGNORECASE)
PIECE = 1024 * 1024
REFUSED_STATUS = (401, 403)


@dataclass(frozen=True)
class Remote:
    """A file at an address."""

    url: str

    @property
    def shown(self) -> str:
        return without_secrets(self.url)


def without_secrets(url: str) -> str:
    """An address without what may be secret: user name, password, query."""
    return str(parse_url(url)._replace(auth=None, query=None, fragment=None))


@dataclass(frozen=True)
class Inline:
    """A file that was written into the request as a `data:` URI."""

    content: bytes


@dataclass(frozen=True)
class InAsset:
    """A file that was uploaded before."""

    asset_id: str


Source = TemporaryUploadedFile | Inline | InAsset | Remote | Spoken


class SourceError(Exception):
    """A file that can't be had, with a code of the contract and a sentence for the user."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def read_url(value: str) -> Inline | Remote:
    """What an address stands for.

    Raises:
        SourceError: It is neither a `data:` URI nor an address that may be requested.
    """
    if value[:5].lower() == "data:":
        return Inline(decode_data_uri(value))
    try:
        outbound.check_when_set(value)
    except InvalidUrlError as error:
        raise SourceError("invalid", str(error)) from error
    except ForbiddenAddressError as error:
        raise SourceError("private_address", str(error)) from error
    return Remote(value)


def decode_data_uri(value: str) -> bytes:
    """Raises: SourceError: It isn't in base64, or holds more than 5 MB."""
    start = DATA_URI.match(value)
    if start is None:
        raise SourceError("invalid", "The data: URI must be base64-encoded.")
    if len(value) - start.end() > MAX_ENCODED:
        raise SourceError("too_large", TOO_LARGE)
    try:
        content = base64.b64decode(value[start.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceError("invalid", "The data: URI is not valid base64.") from error
    if len(content) > MAX_DATA_URI_BYTES:
        raise SourceError("too_large", TOO_LARGE)
    return content


def local_copy(source: Source, tenant: Tenant, folder: Path) -> Path:
    """The file of a request on local disk, below the plan's limit.

    Raises:
        SourceError: There is no such asset, or none yet.
        Problem: `payload_too_large`.
    """
    match source:
        case TemporaryUploadedFile():
            refuse_larger(source.size or 0, tenant)
            return Path(source.temporary_file_path())
        case Inline():
            refuse_larger(len(source.content), tenant)
            path = new_file(folder)
            path.write_bytes(source.content)
            return path
        case InAsset():
            return _asset_copy(source, tenant, folder)
        case Remote() | Spoken():
            raise TypeError("this file isn't there yet")


def refuse_larger(size: int, tenant: Tenant) -> None:
    allowed = tenant.limits.max_upload_bytes
    if size > allowed:
        raise Problem("payload_too_large", f"The plan allows at most {allowed} bytes per file.")


def _asset_copy(source: InAsset, tenant: Tenant, folder: Path) -> Path:
    asset = assets.find(tenant, source.asset_id)
    if asset is None:
        raise SourceError("unknown_asset", "There is no asset with this id.")
    refuse_larger(asset.size_bytes, tenant)
    path = new_file(folder)
    try:
        with assets.opened(asset) as content, path.open("wb") as file:
            shutil.copyfileobj(content, file, PIECE)
    except FileNotFoundError as error:
        raise SourceError("asset_not_uploaded", "Nothing has been uploaded to this asset yet.") from error
    return path


def fetch(
    source: Remote,
    *,
    max_bytes: int,
    seconds: float,
    folder: Path,
    interrupt: outbound.Interrupt | None = None,
) -> Path:
    """The file at an address, on local disk.

    Raises:
        SourceError: `download_forbidden` when we may not have it, `download_failed` when we can't.
        InterruptedExchangeError: `interrupt` was requested meanwhile.
    """
    path = new_file(folder)
    try:
        outbound.fetch_to_file(source.url, path, max_bytes=max_bytes, seconds=seconds, interrupt=interrupt)
    except OutboundError as error:
        raise SourceError(
            "download_forbidden" if is_refusal(error) else "download_failed", str(error)
        ) from error
    return path


def is_refusal(error: OutboundError) -> bool:
    """Whether asking again would end in the same way: our rules or the server forbid it."""
    if isinstance(error, UnexpectedStatusError):
        return error.status in REFUSED_STATUS
    return isinstance(error, (ForbiddenAddressError, InvalidUrlError, TooLargeError))


def new_file(folder: Path) -> Path:
    descriptor, name = mkstemp(dir=folder, prefix="source-")
    os.close(descriptor)
    return Path(name)
