"""Jobs: what is requested, where each stands, and what became of it."""

from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex, GinIndex
from django.db import models
from django.db.models import Q
from django.utils import timezone
from encrypted_fields.fields import EncryptedJSONField, EncryptedTextField

from accounts.models import ApiKey, Organization
from avatar_api.common.choices import preset_choices, resolution_choices
from avatar_api.common.ids import new_id
from avatar_api.common.tenant_queryset import TenantQuerySet
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.framing import Box
from gpu_worker.contract.presets import PRESETS, PresetName
from gpu_worker.contract.spec import PARAMETER_NAMES, ReferenceKind, SpeakingOrder
from gpu_worker.contract.windows import Window
from jobs.states import Status


def choices(enum: type) -> list[tuple[str, str]]:
    return [(item.value, item.value) for item in enum]  # type: ignore[attr-defined]


class Job(models.Model):
    """A video that was requested. Only `jobs.lifecycle.transitions` writes `status` after creation."""

    id = models.CharField(
        primary_key=True, max_length=30, default=partial(new_id, "job"), editable=False, db_collation="C"
    )
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="jobs")
    api_key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    livemode = models.BooleanField()

    # The request: `RenderParameters`, and what only the control side knows.
    prompt = models.TextField()
    negative_prompt = models.TextField(blank=True)
    resolution = models.CharField(max_length=8, choices=resolution_choices)
    preset = models.CharField(max_length=16, choices=preset_choices)
    seed = models.BigIntegerField()
    speaking_order = models.CharField(max_length=24, choices=choices(SpeakingOrder))
    speaker_boxes = models.JSONField(default=list)
    # The part of the reference that was asked for; the one around the speakers lies in `inputs`.
    crop = models.JSONField(null=True, blank=True)
    # Whether both speakers are on the channels of one recording.
    audio_channels = models.CharField(max_length=8, default="mix", db_default="mix")
    metadata = models.JSONField(default=dict)
    # What the caller attests of the people shown: `subject`, `basis`, `reference`.
    consent = models.JSONField(null=True, blank=True)
    reference_kind = models.CharField(max_length=8, choices=choices(ReferenceKind))
    inputs = models.JSONField()
    # Addresses to fetch first, by field; encrypted because they may hold credentials, gone once fetched.
    urls = EncryptedJSONField(null=True, blank=True)
    fetch_deadline = models.DateTimeField(null=True, blank=True)
    # While a worker is fetching them.
    fetch_leased_until = models.DateTimeField(null=True, blank=True)
    num_frames = models.PositiveIntegerField(default=0)
    webhook_url = EncryptedTextField(null=True, blank=True)
    retry_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    retention_seconds = models.PositiveIntegerField()
    price_per_video_second_usd = models.DecimalField(max_digits=10, decimal_places=6)

    # Timesteps and guidance of all that is saved of it; null until dispatch, and where its worker chose.
    sampling = models.JSONField(null=True, blank=True)

    # The request that made it, as logs and traces know it.
    request_id = models.CharField(max_length=128, blank=True, default="", db_default="")
    traceparent = models.CharField(max_length=55, blank=True, default="", db_default="")

    # Where it stands.
    engine = models.CharField(max_length=16, choices=choices(EngineName))
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    token_hash = models.CharField(max_length=64, blank=True)
    dispatched_at = models.DateTimeField(null=True, blank=True, db_column="rung_at")
    # Of the attempt in work: since when a worker has it, and until when it has its worker for itself.
    attempt_started_at = models.DateTimeField(null=True, blank=True)
    slice_ends_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    window_prefixes = models.JSONField(default=list)
    step_prefix = models.CharField(max_length=128, blank=True)
    windows = models.PositiveIntegerField(default=0)
    losses = models.PositiveSmallIntegerField(default=0)
    # Of the attempt in work: the worker that said it has it, and since when that wasn't said again.
    worker = models.CharField(max_length=128, blank=True, default="", db_default="")
    lease_missing_since = models.DateTimeField(null=True, blank=True)

    # What came of it.
    output = models.JSONField(null=True, blank=True)
    error_code = models.CharField(max_length=32, blank=True)
    error_detail = models.TextField(blank=True)
    receipt = models.JSONField(null=True, blank=True)
    gpu_seconds = models.FloatField(default=0)
    attempt_gpu_seconds = models.FloatField(default=0)
    reserved_seconds = models.DecimalField(max_digits=10, decimal_places=3)
    charged_seconds = models.DecimalField(max_digits=10, decimal_places=3, default=Decimal(0))
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    expired = models.BooleanField(default=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="job_status_known"),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=True, status__in=[Status.QUEUED, Status.PROCESSING])
                | Q(finished_at__isnull=False, status__in=[Status.SUCCEEDED, Status.FAILED, Status.CANCELED]),
                name="job_finished_at_tells_the_end",
            ),
        ]
        indexes = [
            # The release before reads lists by id. It can be dropped once that isn't run any more.
            models.Index(fields=["organization", "livemode", "-id"], name="job_list"),
            models.Index(fields=["organization", "livemode", "-created_at", "-id"], name="job_newest"),
            models.Index(fields=["organization", "livemode", "created_at"], name="job_period"),
            models.Index(fields=["engine", "id"], condition=Q(status=Status.QUEUED), name="job_waiting"),
            models.Index(fields=["status"], condition=Q(status=Status.PROCESSING), name="job_processing"),
            # What `dispatch` looks at: the first jobs of each tenant that waits, and all that are at work.
            models.Index(
                fields=["engine", "organization", "livemode", "id"],
                condition=Q(status=Status.QUEUED, dispatched_at__isnull=True, urls__isnull=True),
                name="job_next",
            ),
            models.Index(
                fields=["engine", "organization", "livemode"],
                condition=Q(status=Status.PROCESSING) | Q(status=Status.QUEUED, dispatched_at__isnull=False),
                name="job_active",
            ),
            models.Index(fields=["expires_at"], condition=Q(expired=False), name="job_expiring"),
            models.Index(
                fields=["engine", "preset", "resolution", "-id"],
                condition=Q(status=Status.SUCCEEDED),
                name="job_history",
            ),
            models.Index(
                fields=["fetch_deadline"],
                condition=Q(status=Status.QUEUED, urls__isnull=False),
                name="job_fetching",
            ),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="job_metadata"),
            # Small, as rows lie in the order of their creation: for what looks at all tenants' last weeks.
            BrinIndex(fields=["created_at"], name="job_created", pages_per_range=16),
        ]

    def __str__(self) -> str:
        return self.id

    def plain_parameters(self) -> dict[str, Any]:
        """The columns of `RenderParameters`, by name."""
        return {name: getattr(self, name) for name in PARAMETER_NAMES}

    @property
    def window_plan(self) -> tuple[Window, ...]:
        """The windows of the whole video."""
        return PRESETS[PresetName(self.preset)].windows.plan(self.num_frames)

    @property
    def has_saved_work(self) -> bool:
        """Whether the next attempt goes on with what earlier ones have finished."""
        return bool(self.window_prefixes or self.step_prefix)

    @property
    def shown_crop(self) -> Box | None:
        """What is shown of the reference; None: its centre, or while nothing is known of it.

        A job keeps the centre when it began on a worker that knows no crop: that one left no `sampling`.
        """
        if self.crop is not None:
            return Box(**self.crop)
        around_speakers = self.inputs["reference"].get("crop")
        began_without = self.attempt > 0 and self.sampling is None
        return None if around_speakers is None or began_without else Box(**around_speakers)

    @property
    def is_expired(self) -> bool:
        """Whether the time of its files is over, be they removed by now or not."""
        return self.expired or (self.expires_at is not None and self.expires_at <= timezone.now())


class JobEvent(models.Model):
    """A change of state or a finished window, in the order in which it was recorded."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    type = models.CharField(max_length=32)
    attempt = models.PositiveIntegerField()
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["job", "id"], name="event_of_job")]

    def __str__(self) -> str:
        return f"{self.type} of {self.job_id}"
