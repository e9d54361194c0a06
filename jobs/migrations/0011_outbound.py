from django.db import migrations, models
from django.db.models import Value


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0010_job_sampling"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="fetch_leased_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="webhookdelivery",
            name="attempts",
            field=models.JSONField(db_default=Value([], models.JSONField()), default=list),
        ),
    ]
