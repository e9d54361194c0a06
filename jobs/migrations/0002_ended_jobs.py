from django.db import migrations, models

# Jobs that ended before there was a count of them.
COUNT = """
INSERT INTO jobs_endedjobs (organization_id, livemode, engine, preset, resolution, status, error_code,
                            jobs, gpu_seconds, charged_seconds, cost_usd)
SELECT organization_id, livemode, engine, preset, resolution, status, error_code,
       count(*), sum(gpu_seconds), sum(charged_seconds), sum(cost_usd)
FROM jobs_job WHERE finished_at IS NOT NULL
GROUP BY organization_id, livemode, engine, preset, resolution, status, error_code
"""


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="EndedJobs",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("organization_id", models.CharField(db_collation="C", max_length=30)),
                ("livemode", models.BooleanField()),
                ("engine", models.CharField(max_length=16)),
                ("preset", models.CharField(max_length=16)),
                ("resolution", models.CharField(max_length=8)),
                ("status", models.CharField(max_length=16)),
                ("error_code", models.CharField(blank=True, max_length=32)),
                ("jobs", models.PositiveBigIntegerField()),
                ("gpu_seconds", models.FloatField()),
                ("charged_seconds", models.DecimalField(decimal_places=3, max_digits=16)),
                ("cost_usd", models.DecimalField(decimal_places=6, max_digits=16)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization_id", "livemode", "engine", "preset", "resolution", "status", "error_code"),
                        name="ended_jobs_once",
                    )
                ],
            },
        ),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
