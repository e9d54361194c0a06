"""Reports of videos that should not be there, and the receipt of what was removed."""

from functools import partial

from django.conf import settings
from django.db import models
from django.utils import timezone
from encrypted_fields.fields import EncryptedTextField

from avatar_api.common.ids import new_id
from jobs.models.job import Job

MAX_NAMED = 200


class TakeDownReport(models.Model):
    """What somebody reported, whether or not such a video was ever made here."""

    class Reason(models.TextChoices):
        LIKENESS = "likeness", "It shows me, or lets me speak, without my consent"
        MINOR = "minor", "It shows a child"
        COPYRIGHT = "copyright", "It uses a picture or recording of mine"
        UNLAWFUL = "unlawful", "It is unlawful in another way"

    class State(models.TextChoices):
        OPEN = "open"
        REMOVED = "removed"
        DISMISSED = "dismissed"

    id = models.CharField(
        primary_key=True, max_length=30, default=partial(new_id, "rpt"), editable=False, db_collation="C"
    )
    # The job's id, or where none was found in it the address without its query.
    named = models.CharField("reported", max_length=MAX_NAMED)
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    # An empty text is kept as null.
    details = EncryptedTextField(null=True, blank=True)
    email = EncryptedTextField("e-mail", null=True, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # What was removed: `job`, `files`, `video_sha256`.
    receipt = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "-id"], name="take_down_queue")]

    def __str__(self) -> str:
        return self.id


class BlockedPicture(models.Model):
    """A picture that no job may use any more, known only by its hash."""

    picture_hash = models.CharField(max_length=16, unique=True, editable=False)
    category = models.CharField(max_length=16, choices=TakeDownReport.Reason.choices)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.picture_hash
