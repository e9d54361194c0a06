"""When leases could last be looked at."""

from django.db import models


class LeaseWatch(models.Model):
    """One row: the last look at the leases in Redis. No attempt is silent while nobody can hear it."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    looked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"looked at {self.looked_at}"
