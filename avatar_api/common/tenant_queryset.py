"""Rows that belong to an organization, in live or in test mode."""

from typing import Self, TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model, covariant=True)


class TenantQuerySet(models.QuerySet[Row]):
    """For models with `organization` and `livemode`."""

    def for_organization(self, organization: models.Model, *, livemode: bool) -> Self:
        """What a tenant may see in one mode: the start of every query on behalf of a user."""
        return self.filter(organization=organization, livemode=livemode)
