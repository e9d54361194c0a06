"""Files that clients put into the store themselves, for jobs to take."""

from functools import partial

from django.db import models
from django.utils import timezone

from accounts.models import Organization
from avatar_api.common.ids import new_id
from avatar_api.common.tenant_queryset import TenantQuerySet


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

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization", "livemode", "-id"], name="asset_list"),
            models.Index(fields=["expires_at"], name="asset_expiring"),
        ]

    def __str__(self) -> str:
        return self.id
