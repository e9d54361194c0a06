"""On whose behalf a request acts."""

from dataclasses import dataclass

from accounts.limits import Limits, effective_limits
from accounts.models import ApiKey, Organization, User


@dataclass(frozen=True)
class Tenant:
    """The organization and mode that a request sees, and what it may do there.

    Attributes:
        livemode: False sees and makes test objects only.
        scopes: Of the key, or of the person's role.
        limits: Those that hold for this key or person.
        api_key: The key that asks; None for a person.
        user: The person who asks; None for a key.
        role: The person's in the organization; None for a key.
    """

    organization: Organization
    livemode: bool
    scopes: frozenset[str]
    limits: Limits
    api_key: ApiKey | None = None
    user: User | None = None
    role: str | None = None

    @property
    def organization_limits(self) -> Limits:
        """Those that the organization has in this mode, whatever this key was given."""
        return effective_limits(self.organization, livemode=self.livemode)

    @property
    def organization_subject(self) -> str:
        """What is counted for all keys and people of the organization in this mode."""
        return f"organization:{self.organization.pk}:{'live' if self.livemode else 'test'}"

    @property
    def rate_limit_subject(self) -> str:
        """What rate limits are counted for: the key, or the person in this organization and mode."""
        if self.api_key is not None:
            return f"key:{self.api_key.pk}"
        assert self.user is not None
        return f"user:{self.user.pk}:{self.organization.pk}:{'live' if self.livemode else 'test'}"
