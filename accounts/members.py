"""What can be done to the members of an organization. Each verb owns its transaction.

The organization is locked meanwhile, so that two owners who go at once don't leave it without one.
"""

import re

from django.db import transaction

from accounts.models import ApiKey, Membership, Organization
from accounts.scopes import Role
from accounts.sessions import end_sessions
from avatar_api.common.ids import id_pattern

MEMBER_ID = re.compile(id_pattern("mem"))


class LastOwnerError(Exception):
    """An organization has an owner at all times."""

    def __init__(self) -> None:
        super().__init__("The organization needs an owner: make another member owner first.")


def find(organization: Organization, member_id: str) -> Membership | None:
    """One of its members; none for an id of nonsense."""
    rows = organization.memberships.select_related("user", "organization")
    return rows.filter(member_id=member_id if MEMBER_ID.fullmatch(member_id) else "").first()


@transaction.atomic
def change_role(membership: Membership, role: str) -> Membership:
    """Raises: LastOwnerError: nobody else is owner."""
    locked = _locked(membership)
    if role != Role.OWNER:
        _refuse_last_owner(locked)
    locked.role = role
    locked.save(update_fields=["role"])
    return locked


@transaction.atomic
def remove(membership: Membership) -> list[ApiKey]:
    """End a membership and the person's sessions.

    Returns:
        The active keys that the person made, newest first. They stay the organization's, and go on working.

    Raises:
        LastOwnerError: Nobody else is owner.
    """
    keys = active_keys_of(membership)
    leave(membership)
    end_sessions(membership.user)
    return keys


@transaction.atomic
def leave(membership: Membership) -> None:
    """End a membership at the person's own wish. Raises: LastOwnerError: nobody else is owner."""
    locked = _locked(membership)
    _refuse_last_owner(locked)
    locked.delete()


def active_keys_of(membership: Membership) -> list[ApiKey]:
    """In both modes: who manages the members sees what a person who goes may still know."""
    keys = ApiKey.objects.filter(organization=membership.organization, created_by=membership.user)
    return list(keys.active().order_by("-created_at"))


def _locked(membership: Membership) -> Membership:
    Organization.objects.select_for_update(no_key=True).get(pk=membership.organization_id)
    return Membership.objects.select_related("user", "organization").get(pk=membership.pk)


def _refuse_last_owner(membership: Membership) -> None:
    others = membership.organization.memberships.exclude(pk=membership.pk)
    if membership.role == Role.OWNER and not others.filter(role=Role.OWNER, user__is_active=True).exists():
        raise LastOwnerError
