"""Files that clients put into the store themselves, so that they needn't pass through the API.

With R2 the client sends the file to a presigned address of the store; with the folder store to the API's
own `PUT /v1/files/<token>`. Either way type and size are fixed, and nothing is overwritten. A job takes
its own copy, so an asset may go at any time; all go after a day.
"""

import os
import re
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkstemp
from typing import IO, Any

from django.core import signing
from django.core.files.storage import default_storage
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts import idempotency
from accounts.creation_order import creation_time
from accounts.idempotency import IdempotentRequest
from accounts.tenant import Tenant
from avatar_api.common.ids import id_pattern, new_id
from avatar_api.common.problems import FieldError, Problem, invalid
from avatar_api.common.tenant_queryset import TenantQuerySet
from gpu_worker.contract import storage_keys
from jobs.models import Asset
from jobs.storage import objects, presigned

ASSET_ID = re.compile(id_pattern("ast"))
KEPT = timedelta(hours=24)
SALT = "jobs.assets"
PIECE = 256 * 1024
BATCH = 100


@dataclass(frozen=True)
class Upload:
    """How to send the file of an asset: one request, with exactly these headers."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True)
class AssetResource:
    """An asset as a client sees it.

    Attributes:
        uploaded: Whether its file is there.
        upload: Only for whoever may write, and until the file is there.
    """

    id: str
    object: str
    livemode: bool
    content_type: str
    size_bytes: int
    filename: str
    uploaded: bool
    upload: Upload | None
    created_at: datetime
    expires_at: datetime


def present(asset: Asset, upload_base_url: str | None) -> AssetResource:
    """Args: upload_base_url: Ours, for the address of the upload; None shows none."""
    uploaded = bool(default_storage.exists(asset.key))
    return AssetResource(
        id=asset.id,
        object="asset",
        livemode=asset.livemode,
        content_type=asset.content_type,
        size_bytes=asset.size_bytes,
        filename=asset.filename,
        uploaded=uploaded,
        upload=None if uploaded or upload_base_url is None else upload_of(asset, upload_base_url),
        created_at=asset.created_at,
        expires_at=asset.expires_at,
    )


def find(tenant: Tenant, asset_id: str) -> Asset | None:
    """The tenant's asset, or None for an id that never was, a stranger's, and one whose time is over."""
    return kept(tenant).filter(pk=asset_id).first() if ASSET_ID.fullmatch(asset_id) else None


def kept(tenant: Tenant) -> TenantQuerySet[Asset]:
    """The tenant's assets whose time isn't over."""
    assets = Asset.objects.for_organization(tenant.organization, livemode=tenant.livemode)
    return assets.filter(expires_at__gt=timezone.now())


def create(
    *,
    tenant: Tenant,
    content_type: str,
    size_bytes: int,
    filename: str,
    idempotent: IdempotentRequest | None = None,
) -> Asset:
    """Announce a file.

    Raises:
        Problem: `payload_too_large` above the plan's limit, `quota_exceeded` beyond the organization's open
            assets or their bytes, or `idempotency_key_in_use`.
    """
    if size_bytes > tenant.limits.max_upload_bytes:
        raise Problem("payload_too_large", f"The plan allows at most {tenant.limits.max_upload_bytes} bytes.")
    asset_id = new_id("ast")
    with idempotency.claimed(tenant, idempotent), transaction.atomic():
        created_at = creation_time(Asset.objects.all(), tenant.organization, livemode=tenant.livemode)
        refuse_too_many(tenant, size_bytes)
        asset = Asset.objects.create(
            id=asset_id,
            organization=tenant.organization,
            livemode=tenant.livemode,
            content_type=content_type,
            size_bytes=size_bytes,
            filename=filename,
            key=storage_keys.asset_file(tenant.organization.pk, asset_id),
            created_at=created_at,
            expires_at=created_at + KEPT,
        )
        idempotency.complete(tenant, idempotent, asset.id)
    return asset


def refuse_too_many(tenant: Tenant, size_bytes: int) -> None:
    """Part of a transaction that has locked the organization.

    Raises:
        Problem: `quota_exceeded`.
    """
    assets = Asset.objects.for_organization(tenant.organization, livemode=tenant.livemode).open_now()
    limits = tenant.limits
    if assets.number >= limits.open_assets:
        raise Problem("quota_exceeded", f"{limits.open_assets} assets are open already: delete some first.")
    if assets.size_bytes + size_bytes > limits.open_asset_bytes:
        detail = f"All assets together may take at most {limits.open_asset_bytes} bytes. Delete some first."
        raise Problem("quota_exceeded", detail)


def opened(asset: Asset) -> IO[Any]:
    """Raises: FileNotFoundError: It hasn't been uploaded, or is gone."""
    return default_storage.open(asset.key)


def upload_of(asset: Asset, base_url: str) -> Upload:
    """Where the file is to be sent; the address is a secret."""
    headers = {"Content-Type": asset.content_type, "Content-Length": str(asset.size_bytes)}
    of_store = presigned.upload_url(asset.key, asset.content_type, asset.size_bytes, asset.expires_at)
    if of_store is None:
        return Upload("PUT", base_url + reverse("file", kwargs={"token": sign(asset)}), headers)
    # Neither store overwrites: a bucket because of this header, which is signed like the others.
    return Upload("PUT", of_store, headers | {"If-None-Match": "*"})


def sign(asset: Asset) -> str:
    """The token of a PUT: the asset's row, which never changes, fixes key, size, type and expiry."""
    return signing.dumps(asset.id, salt=SALT)


def asset_of_token(token: str) -> Asset:
    """The asset whose upload a token allows.

    Raises:
        Problem: `not_found` when we never signed it, `expired` when the asset is gone.
    """
    try:
        asset_id = signing.loads(token, salt=SALT)
    except signing.BadSignature as error:
        raise Problem("not_found") from error
    asset = Asset.objects.filter(pk=asset_id, expires_at__gt=timezone.now()).first()
    if asset is None:
        raise Problem("expired")
    return asset


def receive(asset: Asset, content_type: str, size_bytes: int, stream: IO[bytes]) -> None:
    """Take the file of an asset into the folder store; it is there whole or not at all.

    Raises:
        Problem: `validation_error` for another type or size, `conflict` when it is there already,
            `expired` when the asset was deleted meanwhile.
    """
    announced = {"Content-Type": asset.content_type, "Content-Length": asset.size_bytes}
    sent = {"Content-Type": content_type, "Content-Length": size_bytes}
    wrong = [name for name in announced if announced[name] != sent[name]]
    if wrong:
        raise invalid(*(FieldError(name, "invalid", f"Must be {announced[name]}.") for name in wrong))
    try:
        _write_once(Path(default_storage.path(asset.key)), stream)
    except FileExistsError as error:
        raise Problem("conflict", "The file of this asset has already been uploaded.") from error
    except FileNotFoundError as error:
        raise Problem("expired") from error  # Its folder was removed meanwhile.
    if not Asset.objects.filter(pk=asset.pk).exists():
        _remove_files(asset)
        raise Problem("expired")


def _write_once(path: Path, stream: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = mkstemp(dir=path.parent, prefix="part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(stream, file, PIECE)
        os.link(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def delete(asset: Asset) -> None:
    """Remove an asset: files first, so that what is stopped in between is repeated."""
    _remove_files(asset)
    asset.delete()


def _remove_files(asset: Asset) -> None:
    objects.delete_prefix(storage_keys.asset_prefix(asset.organization_id, asset.id))


def prune_assets() -> int:
    """Remove the assets whose day is over.

    Returns:
        How many.
    """
    old = list(Asset.objects.filter(expires_at__lte=timezone.now()).order_by("expires_at")[:BATCH])
    for asset in old:
        delete(asset)
    return len(old)
