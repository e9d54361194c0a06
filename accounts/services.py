"""What can be done to organizations and keys. Each verb owns its transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import api_keys
from accounts.creation_order import creation_time
from accounts.key_authority import Authority
from accounts.limits import LIMIT_NAMES, effective_limits
from accounts.models import DEFAULT_PLAN, ApiKey, Organization, User
from accounts.scopes import ROLE_SCOPES, Scope


class TooManyKeysError(Exception):
    """The organization has as many active keys as it may."""

    def __init__(self, allowed: int) -> None:
        super().__init__(f"{allowed} keys are active already: revoke one first.")


class KeyNotActiveError(Exception):
    """Only an active key can be rotated."""


ALL_SCOPES = frozenset(Scope.values)
OPERATOR = Authority(ALL_SCOPES)
"""Whoever operates the deployment: bound to nothing."""


def scopes_of(user: User, organization: Organization) -> frozenset[str]:
    """What a person may do in an organization; an operator may do everything."""
    if user.is_operator:
        return ALL_SCOPES
    membership = user.memberships.filter(organization=organization).first()
    return ROLE_SCOPES[membership.role] if membership else frozenset()


def create_organization(*, name: str, plan: str = DEFAULT_PLAN) -> Organization:
    return Organization.objects.create(name=name, plan_id=plan)


@transaction.atomic
def mint_key(
    *,
    organization: Organization,
    livemode: bool,
    name: str,
    scopes: frozenset[str],
    authority: Authority = OPERATOR,
    expires_at: datetime | None = None,
    allowed_ips: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    created_by: User | None = None,
    replaces: ApiKey | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text, which is kept nowhere.

    Args:
        organization: Whose key it is.
        livemode: Its mode.
        name: What people call it.
        scopes: What it may do.
        authority: What its maker may hand on.
        expires_at: When it ends; None: never.
        allowed_ips: Networks that may use it; empty: any.
        overrides: Limits of its own, by name.
        created_by: The person who made it.
        replaces: A key that it takes the place of, which doesn't count against the limit.

    Raises:
        BeyondAuthorityError: The key would reach beyond `authority`.
        TooManyKeysError: The organization has as many as it may.
    """
    authority.require(Authority(scopes, tuple(allowed_ips), expires_at))
    created_at = creation_time(ApiKey.objects.all(), organization, livemode=livemode)
    refuse_too_many_keys(organization, livemode=livemode, besides=replaces.pk if replaces else "")
    minted = api_keys.mint(livemode=livemode)
    api_key = ApiKey.objects.create(
        id=minted.id,
        secret_sha256=minted.secret_sha256,
        organization=organization,
        livemode=livemode,
        name=name,
        scopes=sorted(scopes),
        allowed_ips=list(allowed_ips),
        expires_at=expires_at,
        created_at=created_at,
        created_by=created_by,
        **(overrides or {}),
    )
    return api_key, minted.key


def refuse_too_many_keys(organization: Organization, *, livemode: bool, besides: str = "") -> None:
    """Part of a transaction that has locked the organization.

    Raises:
        TooManyKeysError: It has as many as it may.
    """
    allowed = effective_limits(organization, livemode=livemode).active_keys
    keys = ApiKey.objects.for_organization(organization, livemode=livemode).active().exclude(pk=besides)
    if keys.count() >= allowed:
        raise TooManyKeysError(allowed)


@transaction.atomic
def suspend(*, organization: Organization) -> None:
    """Refuses all its requests and lets its queued jobs wait, until it is resumed."""
    if organization.suspended_at is None:
        organization.suspended_at = timezone.now()
        organization.save(update_fields=["suspended_at"])


@transaction.atomic
def resume(*, organization: Organization) -> None:
    if organization.suspended_at is not None:
        organization.suspended_at = None
        organization.save(update_fields=["suspended_at"])


@transaction.atomic
def revoke_key(*, api_key: ApiKey, authority: Authority = OPERATOR) -> None:
    """Ends a key at once; revoking it again changes nothing.

    Raises:
        BeyondAuthorityError: The key may do more than whoever revokes it.
    """
    authority.require(Authority.of_key(api_key))
    if api_key.revoked_at is None:
        api_key.revoked_at = timezone.now()
        api_key.save(update_fields=["revoked_at"])


@transaction.atomic
def rotate_key(
    *,
    api_key: ApiKey,
    overlap_seconds: int,
    authority: Authority = OPERATOR,
    created_by: User | None = None,
) -> tuple[ApiKey, str]:
    """A new key that may do what the old one may; the old one works for `overlap_seconds` more.

    Raises:
        BeyondAuthorityError: The key may do more than whoever rotates it.
        KeyNotActiveError: The key is revoked or has expired.
        TooManyKeysError: The organization has as many as it may, this one not counted.
    """
    old = ApiKey.objects.select_for_update().get(pk=api_key.pk)
    if old.state() != ApiKey.State.ACTIVE:
        raise KeyNotActiveError
    authority.require(Authority.of_key(old))
    now = timezone.now()
    ends_at, end = old.lifetime_ends_at, now + timedelta(seconds=overlap_seconds)
    if old.rotated_at is None:
        old.rotated_at, old.expires_unless_rotated_at = now, old.expires_at
    old.expires_at = min(end, old.expires_at) if old.expires_at else end
    old.save(update_fields=["expires_at", "rotated_at", "expires_unless_rotated_at"])
    return mint_key(
        organization=old.organization,
        livemode=old.livemode,
        name=old.name,
        scopes=frozenset(old.scopes),
        expires_at=ends_at,
        allowed_ips=old.allowed_ips,
        overrides={name: getattr(old, name) for name in LIMIT_NAMES},
        created_by=created_by,
        replaces=old,
    )
