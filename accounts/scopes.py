"""What a key may do, and what a member's role lets a person do: one table."""

from collections.abc import Iterable

from django.db import models


class Scope(models.TextChoices):
    JOBS_READ = "jobs:read", "Read jobs"
    JOBS_WRITE = "jobs:write", "Create, cancel and delete jobs"
    USAGE_READ = "usage:read", "Read usage"
    WEBHOOKS_READ = "webhooks:read", "Read webhooks and deliveries"
    WEBHOOKS_WRITE = "webhooks:write", "Manage webhooks"
    KEYS_WRITE = "keys:write", "Manage API keys"


# Keys had only the one scope for webhooks, so it goes on including what became a scope of its own.
INCLUDED = {Scope.WEBHOOKS_WRITE.value: frozenset({Scope.WEBHOOKS_READ.value})}


def with_included(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes of a key, and those that they include."""
    named = frozenset(scopes)
    return named.union(*(INCLUDED.get(scope, frozenset()) for scope in named))


class Role(models.TextChoices):
    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"


VIEWER_SCOPES = frozenset({Scope.JOBS_READ.value, Scope.USAGE_READ.value})
MEMBER_SCOPES = VIEWER_SCOPES | {Scope.JOBS_WRITE.value}

# An owner differs from an admin in what no scope covers: the members of the organization.
ROLE_SCOPES: dict[str, frozenset[str]] = {
    Role.VIEWER: VIEWER_SCOPES,
    Role.MEMBER: MEMBER_SCOPES,
    Role.ADMIN: frozenset(Scope.values),
    Role.OWNER: frozenset(Scope.values),
}
