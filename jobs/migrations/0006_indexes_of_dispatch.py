from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    # Without a transaction, so that jobs can be written while the indexes are made.
    atomic = False

    dependencies = [
        ("jobs", "0005_slices"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                fields=["engine", "organization", "livemode", "id"],
                condition=Q(status="queued", rung_at__isnull=True, urls__isnull=True),
                name="job_next",
            ),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                fields=["engine", "organization", "livemode"],
                condition=Q(status="processing") | Q(status="queued", rung_at__isnull=False),
                name="job_active",
            ),
        ),
    ]
