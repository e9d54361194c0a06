from django.db import migrations, models

from avatar_api.common.choices import preset_choices, resolution_choices


class Migration(migrations.Migration):
    # Choices are no part of a column: no SQL is run.
    dependencies = [
        ("jobs", "0008_dispatched_at"),
    ]

    operations = [
        migrations.AlterField(
            model_name="job",
            name="preset",
            field=models.CharField(choices=preset_choices, max_length=16),
        ),
        migrations.AlterField(
            model_name="job",
            name="resolution",
            field=models.CharField(choices=resolution_choices, max_length=8),
        ),
    ]
