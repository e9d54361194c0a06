from django.contrib.postgres.indexes import BrinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    # Without a transaction, so that jobs can be written while the index is made.
    atomic = False

    dependencies = [
        ("jobs", "0003_job_origin"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=BrinIndex(fields=["created_at"], name="job_created", pages_per_range=16),
        ),
    ]
