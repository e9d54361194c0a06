"""Files that clients put into the store themselves, for jobs to take."""

from dataclasses import dataclass
from functools import partial

from django.db import models
from django.utils import timezone

from accounts.models import Organization
from avatar_api.common.ids import new_id
from avatar_api.common.tenant_queryset import TenantQuerySet


@dataclass(frozen=True)
class OpenAssets:
    """What counts against an organization's limits."""

    number: int
    size_bytes: int


class AssetQuerySet(TenantQuerySet["Asset"]):
    def open_now(self) -> OpenAssets:
        """How many there are whose time isn't over, and what they take together."""
        found = self.filter(expires_at__gt=timezone.now()).aggregate(
            number=models.Count("id"), size_bytes=models.Sum("size_bytes", default=0)
        )
        return OpenAssets(found["number"], int(found["size_bytes"]))


class Asset(models.Model):
    """An upload by presigned PUT. A job works on its own copy, so an asset may go at any time."""

    id = models.CharField(
        primary_key=True, max_length=30, default=partial(new_id, "ast"), editable=False, db_collation="C"
    )
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="assets")
    livemode = models.BooleanField()
    content_type = models.CharField(max_length=127)
    size_bytes = models.BigIntegerField()
    filename = models.CharField(max_length=255, blank=True)
    key = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()

    objects = AssetQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization", "livemode", "-id"], name="asset_list"),
            models.Index(fields=["organization", "livemode", "-created_at", "-id"], name="asset_newest"),
            models.Index(fields=["expires_at"], name="asset_expiring"),
        ]

    def __str__(self) -> str:
        return self.id
