"""The same request sent twice makes one object.

A request first claims its key, in a transaction of its own: a twin that comes meanwhile sees the claim.
The claim is completed in the transaction that makes the object, and given up when the request is refused.
Whoever makes the object holds a lock of the database, which goes with a process that is lost: its claim
is then taken over by the next repetition, and no client waits for a process that is gone.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.db.models import Model, Q
from django.utils import timezone

from accounts.models import IdempotencyClaim, Organization
from accounts.tenant import Tenant
from avatar_api.common.advisory_lock import advisory_lock
from avatar_api.common.problems import FieldError, Problem, invalid

HEADER = "Idempotency-Key"
VISIBLE_ASCII = re.compile(r"[!-~]{1,255}")
KEPT = timedelta(hours=24)
ABANDONED = timedelta(minutes=15)

Made = TypeVar("Made", bound=Model)


@dataclass(frozen=True)
class IdempotentRequest:
    """A request that may be a repetition.

    Attributes:
        key: The client's, unique within its organization, mode and endpoint.
        endpoint: What the request makes, such as `jobs`.
        body_sha256: Digest of the body, files by their content.
    """

    key: str
    endpoint: str
    body_sha256: str


def request_of(key: str | None, endpoint: str, body: Mapping[str, Any]) -> IdempotentRequest | None:
    """The request's claim to idempotency, or None when it makes none.

    Raises:
        Problem: `validation_error` when the key isn't 1–255 visible ASCII characters.
    """
    if key is None:
        return None
    if not VISIBLE_ASCII.fullmatch(key):
        raise invalid(FieldError(HEADER, "invalid", "Must be 1 to 255 visible ASCII characters."))
    return IdempotentRequest(key, endpoint, digest(body))


def digest(body: Mapping[str, Any]) -> str:
    """SHA-256 of a parsed body; the order of its fields and the names of its files don't matter."""
    plain = {name: _file_sha256(v) if isinstance(v, UploadedFile) else v for name, v in body.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _file_sha256(upload: UploadedFile) -> str:
    hasher = hashlib.sha256()
    for chunk in upload.chunks():
        hasher.update(chunk)
    upload.seek(0)
    return hasher.hexdigest()


def replay(tenant: Tenant, request: IdempotentRequest) -> IdempotencyClaim | None:
    """The completed claim of an earlier, equal request, or None when this one is the first.

    Raises:
        Problem: `idempotency_key_reused` for another body.
    """
    claim = _claims(tenant, request).filter(created_at__gt=timezone.now() - KEPT).first()
    if claim is None:
        return None
    if claim.body_sha256 != request.body_sha256:
        raise Problem("idempotency_key_reused")
    return claim if claim.object_id else None


def make_once(tenant: Tenant, request: IdempotentRequest | None, make: Callable[[], Made]) -> Made:
    """Make an object in a transaction that ties the key to it.

    Raises:
        Problem: `idempotency_key_in_use` when a twin was faster.
    """
    with claimed(tenant, request), transaction.atomic():
        made = make()
        complete(tenant, request, made.pk)
    return made


@contextmanager
def claimed(tenant: Tenant, request: IdempotentRequest | None) -> Iterator[None]:
    """Hold the key while the object is being made, and free it when the request is refused.

    Raises:
        Problem: `idempotency_key_in_use` when a twin was faster.
    """
    if request is None:
        yield
        return
    with advisory_lock(lock_name(tenant, request.key)) as mine:
        if not mine:
            raise in_use()
        with _claim_kept(tenant, request):
            yield


@contextmanager
def _claim_kept(tenant: Tenant, request: IdempotentRequest) -> Iterator[None]:
    _claim(tenant, request)
    try:
        yield
    except BaseException:
        _claims(tenant, request).filter(object_id="").delete()
        raise


def _claim(tenant: Tenant, request: IdempotentRequest) -> None:
    try:
        _insert(tenant, request)
    except IntegrityError as error:
        # We have the lock, so nobody is at work on a claim that has no object.
        useless = Q(object_id="") | Q(created_at__lte=timezone.now() - KEPT)
        if not _claims(tenant, request).filter(useless).delete()[0]:
            raise in_use() from error  # A twin has completed it since we looked.
        _insert(tenant, request)


@transaction.atomic
def _insert(tenant: Tenant, request: IdempotentRequest) -> None:
    IdempotencyClaim.objects.create(
        organization=tenant.organization,
        livemode=tenant.livemode,
        key=request.key,
        endpoint=request.endpoint,
        body_sha256=request.body_sha256,
    )


def claim_form(form_id: uuid.UUID, organization: Organization, *, livemode: bool) -> IdempotencyClaim:
    """The claim of a form that a person sends; once its object is made, `complete_form` completes it.

    Both belong in one transaction. A browser sends a form again when its answer is reloaded: then the claim
    names the object already.
    """
    claim, _ = IdempotencyClaim.objects.get_or_create(
        organization=organization, livemode=livemode, endpoint="forms", key=str(form_id)
    )
    return claim


def complete_form(claim: IdempotencyClaim, object_id: str) -> None:
    claim.object_id = object_id
    claim.save(update_fields=["object_id"])


def lock_name(tenant: Tenant, key: str) -> str:
    return f"idempotency {tenant.organization.pk} {tenant.livemode} {key}"


def in_use() -> Problem:
    return Problem("idempotency_key_in_use", headers={"Retry-After": "1"})


def complete(tenant: Tenant, request: IdempotentRequest | None, object_id: str) -> None:
    """Tie the key to the object; part of the transaction that makes the object.

    Raises:
        Problem: `idempotency_key_in_use` when a twin was faster, which can be where the lock was lost with
            the connection to the database.
    """
    if request is not None and not _claims(tenant, request).filter(object_id="").update(object_id=object_id):
        raise in_use()


def _claims(tenant: Tenant, request: IdempotentRequest) -> Any:
    return IdempotencyClaim.objects.filter(
        organization=tenant.organization,
        livemode=tenant.livemode,
        endpoint=request.endpoint,
        key=request.key,
    )


def prune_claims() -> int:
    """Remove claims whose day is over, and those that a crash left unfinished for a quarter of an hour."""
    now = timezone.now()
    old = IdempotencyClaim.objects.filter(created_at__lte=now - KEPT)
    abandoned = IdempotencyClaim.objects.filter(object_id="", created_at__lte=now - ABANDONED)
    return int(old.delete()[0] + abandoned.delete()[0])
