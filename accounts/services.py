"""What can be done to organizations and keys. Each verb owns its transaction."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts import api_keys
from accounts.limits import LIMIT_NAMES
from accounts.models import DEFAULT_PLAN, ApiKey, Organization, User
from accounts.scopes import ROLE_SCOPES, Scope


class ScopeNotHeldError(Exception):
    """A key can't carry scopes that its maker lacks."""

    def __init__(self, scopes: frozenset[str]) -> None:
        super().__init__(f"The maker of the key lacks {', '.join(sorted(scopes))}.")
        self.scopes = scopes


class KeyNotActiveError(Exception):
    """Only an active key can be rotated."""


ALL_SCOPES = frozenset(Scope.values)
KEPT_BY_ROTATION = (
    "organization",
    "livemode",
    "name",
    "scopes",
    "allowed_ips",
    "expires_at",
    *LIMIT_NAMES,
)


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
    maker_scopes: frozenset[str] = ALL_SCOPES,
    expires_at: datetime | None = None,
    allowed_ips: list[str] | None = None,
    created_by: User | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text, which is kept nowhere.

    A key never carries scopes that its maker lacks; an operator, the default, lacks none.

    Raises:
        ScopeNotHeldError: `scopes` goes beyond `maker_scopes`.
    """
    require_scopes(scopes, maker_scopes)
    minted = api_keys.mint(livemode=livemode)
    api_key = ApiKey.objects.create(
        id=minted.id,
        secret_sha256=minted.secret_sha256,
        organization=organization,
        livemode=livemode,
        name=name,
        scopes=sorted(scopes),
        allowed_ips=allowed_ips or [],
        expires_at=expires_at,
        created_by=created_by,
    )
    return api_key, minted.key


def require_scopes(scopes: frozenset[str], maker_scopes: frozenset[str]) -> None:
    if beyond := scopes - maker_scopes:
        raise ScopeNotHeldError(beyond)


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
def revoke_key(*, api_key: ApiKey) -> None:
    """Ends a key at once; revoking it again changes nothing."""
    if api_key.revoked_at is None:
        api_key.revoked_at = timezone.now()
        api_key.save(update_fields=["revoked_at"])


@transaction.atomic
def rotate_key(
    *,
    api_key: ApiKey,
    overlap_seconds: int,
    maker_scopes: frozenset[str] = ALL_SCOPES,
    created_by: User | None = None,
) -> tuple[ApiKey, str]:
    """A new key that may do what the old one may; the old one works for `overlap_seconds` more.

    Raises:
        KeyNotActiveError: The key is revoked or has expired.
        ScopeNotHeldError: The key carries scopes that the maker lacks.
    """
    old = ApiKey.objects.select_for_update().get(pk=api_key.pk)
    if old.state() != ApiKey.State.ACTIVE:
        raise KeyNotActiveError
    require_scopes(frozenset(old.scopes), maker_scopes)
    minted = api_keys.mint(livemode=old.livemode)
    new = ApiKey.objects.create(
        id=minted.id,
        secret_sha256=minted.secret_sha256,
        created_by=created_by,
        **{name: getattr(old, name) for name in KEPT_BY_ROTATION},
    )
    end = timezone.now() + timedelta(seconds=overlap_seconds)
    old.expires_at = min(end, old.expires_at) if old.expires_at else end
    old.save(update_fields=["expires_at"])
    return new, minted.key
