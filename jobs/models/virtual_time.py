"""How far tenants have been served, for `jobs.scheduling.fair_queue`."""

from django.db import models

from accounts.models import Organization
from gpu_worker.contract.engines import EngineName
from jobs.models.job import choices


class VirtualTime(models.Model):
    """Where, in virtual time, a tenant's last slice on the workers of an engine starts and ends.

    Without its row a tenant starts where the others are; only `jobs.scheduling.dispatch` writes it.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    livemode = models.BooleanField()
    engine = models.CharField(max_length=16, choices=choices(EngineName))
    start = models.FloatField()
    finish = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "livemode", "engine"], name="virtual_time_once")
        ]
        indexes = [models.Index(fields=["engine", "-start"], name="virtual_time_now")]

    def __str__(self) -> str:
        return f"{self.organization_id} at {self.finish:.0f} on {self.engine}"
