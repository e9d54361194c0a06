"""What has ended, counted: metrics read a few rows here where they would read every job there ever was."""

from django.db import models


class EndedJobs(models.Model):
    """How many jobs have ended in one way, and what they took; only `jobs.billing.ended_jobs` writes it.

    The organization is no foreign key: what was used stays counted, as nobody's, when an organization is
    forgotten, or the counters would run backwards.
    """

    organization_id = models.CharField(max_length=30, db_collation="C")
    livemode = models.BooleanField()
    engine = models.CharField(max_length=16)
    preset = models.CharField(max_length=16)
    resolution = models.CharField(max_length=8)
    status = models.CharField(max_length=16)
    error_code = models.CharField(max_length=32, blank=True)
    jobs = models.PositiveBigIntegerField()
    gpu_seconds = models.FloatField()
    charged_seconds = models.DecimalField(max_digits=16, decimal_places=3)
    cost_usd = models.DecimalField(max_digits=16, decimal_places=6)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "organization_id",
                    "livemode",
                    "engine",
                    "preset",
                    "resolution",
                    "status",
                    "error_code",
                ],
                name="ended_jobs_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.jobs} {self.status} of {self.organization_id}"
