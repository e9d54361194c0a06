import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0002_seed_plans"),
        ("jobs", "0004_job_created"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="attempt_started_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="job",
            name="slice_ends_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name="VirtualTime",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("livemode", models.BooleanField()),
                (
                    "engine",
                    models.CharField(
                        choices=[("infinitetalk", "infinitetalk"), ("preview", "preview")], max_length=16
                    ),
                ),
                ("start", models.FloatField()),
                ("finish", models.FloatField()),
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
                "indexes": [models.Index(fields=["engine", "-start"], name="virtual_time_now")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "livemode", "engine"), name="virtual_time_once"
                    )
                ],
            },
        ),
    ]
