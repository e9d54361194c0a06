"""What a key may do, and what a member's role lets a person do: one table."""

from django.db import models


class Scope(models.TextChoices):
    JOBS_READ = "jobs:read", "Read jobs"
    JOBS_WRITE = "jobs:write", "Create, cancel and delete jobs"
    USAGE_READ = "usage:read", "Read usage"
    WEBHOOKS_WRITE = "webhooks:write", "Manage webhooks"
    KEYS_WRITE = "keys:write", "Manage API keys"


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
