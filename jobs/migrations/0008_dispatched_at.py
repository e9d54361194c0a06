from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    # The column keeps its name, so that the release before this one goes on beside it: no SQL is run.
    dependencies = [
        ("jobs", "0007_deliveries_in_work"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex(model_name="job", name="job_next"),
                migrations.RemoveIndex(model_name="job", name="job_active"),
                migrations.RenameField(model_name="job", old_name="rung_at", new_name="dispatched_at"),
                migrations.AlterField(
                    model_name="job",
                    name="dispatched_at",
                    field=models.DateTimeField(blank=True, db_column="rung_at", null=True),
                ),
                migrations.AddIndex(
                    model_name="job",
                    index=models.Index(
                        fields=["engine", "organization", "livemode", "id"],
                        condition=Q(status="queued", dispatched_at__isnull=True, urls__isnull=True),
                        name="job_next",
                    ),
                ),
                migrations.AddIndex(
                    model_name="job",
                    index=models.Index(
                        fields=["engine", "organization", "livemode"],
                        condition=Q(status="processing") | Q(status="queued", dispatched_at__isnull=False),
                        name="job_active",
                    ),
                ),
            ],
        ),
    ]
