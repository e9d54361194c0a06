"""Where events are sent, and each sending of one."""

from functools import partial

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value
from django.utils import timezone
from encrypted_fields.fields import EncryptedTextField

from accounts.models import Organization
from avatar_api.common.ids import new_id
from avatar_api.common.tenant_queryset import TenantQuerySet
from jobs.models.job import Job


class WebhookEventType(models.TextChoices):
    PROCESSING = "job.processing"
    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELED = "job.canceled"


class WebhookSecret(models.Model):
    """The secret that signs what goes to a job's own `webhook_url`: one a tenant."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    livemode = models.BooleanField()
    secret = EncryptedTextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "livemode"], name="webhook_secret_once"),
        ]

    def __str__(self) -> str:
        return f"webhook secret of {self.organization_id}"


class WebhookEndpoint(models.Model):
    """An address of the organization that wants to hear of events."""

    id = models.CharField(
        primary_key=True, max_length=30, default=partial(new_id, "whk"), editable=False, db_collation="C"
    )
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="webhook_endpoints")
    livemode = models.BooleanField()
    url = models.TextField()
    description = models.CharField(max_length=255, blank=True)
    event_types = ArrayField(models.CharField(max_length=32, choices=WebhookEventType.choices))
    secret = EncryptedTextField()
    previous_secret = EncryptedTextField(null=True, blank=True)
    previous_secret_until = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["organization", "livemode", "-id"], name="webhook_list")]

    def __str__(self) -> str:
        return self.id


class WebhookDelivery(models.Model):
    """One event on its way to one address, written in the same transaction as the event."""

    class State(models.TextChoices):
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    id = models.CharField(
        primary_key=True, max_length=30, default=partial(new_id, "msg"), editable=False, db_collation="C"
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="webhook_deliveries"
    )
    livemode = models.BooleanField()
    # None: the job's own address.
    endpoint = models.ForeignKey(
        WebhookEndpoint, null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries")
    event_type = models.CharField(max_length=32)
    payload = models.JSONField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    # While a worker is sending it.
    leased_until = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=255, blank=True)
    # What came of the last tries, oldest first; see `jobs.webhooks.attempts`.
    attempts = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(fields=["next_try_at"], condition=Q(state="pending"), name="delivery_due"),
            models.Index(fields=["endpoint", "-id"], name="delivery_list"),
            models.Index(fields=["endpoint", "-created_at", "-id"], name="delivery_newest"),
            models.Index(
                fields=["organization"],
                condition=Q(state="pending", leased_until__isnull=False),
                name="delivery_in_work",
            ),
        ]

    def __str__(self) -> str:
        return self.id
