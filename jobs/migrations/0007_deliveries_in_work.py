from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    # Without a transaction, so that deliveries can be written while the index is made.
    atomic = False

    dependencies = [
        ("jobs", "0006_indexes_of_dispatch"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="webhookdelivery",
            index=models.Index(
                fields=["organization"],
                condition=Q(state="pending", leased_until__isnull=False),
                name="delivery_in_work",
            ),
        ),
    ]
