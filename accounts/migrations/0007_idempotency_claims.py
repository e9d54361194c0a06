import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

BUILD = """
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS claim_once_an_endpoint
ON jobs_idempotencyclaim (organization_id, livemode, endpoint, key)
"""
UNBUILD = "DROP INDEX CONCURRENTLY IF EXISTS claim_once_an_endpoint"
# Keys were unique among all endpoints. The release before looks a key up before it claims it.
RELEASE = "ALTER TABLE jobs_idempotencyclaim DROP CONSTRAINT IF EXISTS claim_once_a_key"


class Migration(migrations.Migration):
    # Without a transaction, so that claims can be written while the index is made.
    atomic = False

    dependencies = [
        ("accounts", "0006_scopes_known"),
        ("jobs", "0013_claims_of_accounts"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="IdempotencyClaim",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("livemode", models.BooleanField()),
                        ("key", models.CharField(max_length=255)),
                        ("endpoint", models.CharField(max_length=16)),
                        ("body_sha256", models.CharField(max_length=64)),
                        ("object_id", models.CharField(blank=True, max_length=30)),
                        (
                            "created_at",
                            models.DateTimeField(default=django.utils.timezone.now, editable=False),
                        ),
                        (
                            "organization",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to="accounts.organization",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "jobs_idempotencyclaim",
                        "indexes": [models.Index(fields=["created_at"], name="claim_expiring")],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("organization", "livemode", "endpoint", "key"),
                                name="claim_once_an_endpoint",
                            )
                        ],
                    },
                ),
            ],
        ),
        migrations.RunSQL(BUILD, UNBUILD),
        migrations.RunSQL(RELEASE, migrations.RunSQL.noop),
    ]
