import avatar_api.common.choices
import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    # Choices are no part of a column: no SQL is run.
    dependencies = [
        ('accounts', '0003_availability_limits'),
    ]

    operations = [
        migrations.AlterField(
            model_name='apikey',
            name='presets',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=avatar_api.common.choices.preset_choices, max_length=16), blank=True, null=True, size=None),
        ),
        migrations.AlterField(
            model_name='apikey',
            name='resolutions',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=avatar_api.common.choices.resolution_choices, max_length=16), blank=True, null=True, size=None),
        ),
        migrations.AlterField(
            model_name='organization',
            name='presets',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=avatar_api.common.choices.preset_choices, max_length=16), blank=True, null=True, size=None),
        ),
        migrations.AlterField(
            model_name='organization',
            name='resolutions',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=avatar_api.common.choices.resolution_choices, max_length=16), blank=True, null=True, size=None),
        ),
        migrations.AlterField(
            model_name='plan',
            name='presets',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=avatar_api.common.choices.preset_choices, max_length=16), size=None),
        ),
        migrations.AlterField(
            model_name='plan',
            name='resolutions',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=avatar_api.common.choices.resolution_choices, max_length=16), size=None),
        ),
    ]
