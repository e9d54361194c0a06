"""Which idempotency keys were used, and for what."""

from django.db import models
from django.utils import timezone

from accounts.models import Organization


class IdempotencyClaim(models.Model):
    """A key that a request has claimed; complete once the request has made its object."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    livemode = models.BooleanField()
    key = models.CharField(max_length=255)
    endpoint = models.CharField(max_length=16)
    body_sha256 = models.CharField(max_length=64)
    object_id = models.CharField(max_length=30, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "livemode", "key"], name="claim_once_a_key"),
        ]
        indexes = [models.Index(fields=["created_at"], name="claim_expiring")]

    def __str__(self) -> str:
        return f"{self.key} of {self.organization_id}"
