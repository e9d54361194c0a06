from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # Without a transaction, so that rows can be written while the indexes are made.
    atomic = False

    dependencies = [
        ("jobs", "0013_claims_of_accounts"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                fields=["organization", "livemode", "-created_at", "-id"], name="job_newest"
            ),
        ),
        AddIndexConcurrently(
            model_name="asset",
            index=models.Index(
                fields=["organization", "livemode", "-created_at", "-id"], name="asset_newest"
            ),
        ),
        AddIndexConcurrently(
            model_name="webhookdelivery",
            index=models.Index(fields=["endpoint", "-created_at", "-id"], name="delivery_newest"),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="job_metadata"),
        ),
    ]
