"""What an organization has used of its month."""

from decimal import Decimal

from django.db import models

from accounts.models import Organization


class MonthlyUsage(models.Model):
    """Video seconds of an organization in one calendar month (UTC): charged, and reserved by open jobs."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="usage")
    month = models.DateField()
    reserved_seconds = models.DecimalField(max_digits=14, decimal_places=3, default=Decimal(0))
    charged_seconds = models.DecimalField(max_digits=14, decimal_places=3, default=Decimal(0))

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "month"], name="usage_once_a_month")]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.month:%Y-%m}"
