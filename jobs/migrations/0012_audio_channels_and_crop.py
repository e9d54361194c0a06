from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0011_outbound")]

    operations = [
        migrations.AddField(model_name="job", name="crop", field=models.JSONField(blank=True, null=True)),
        migrations.AddField(
            model_name="job",
            name="audio_channels",
            field=models.CharField(db_default="mix", default="mix", max_length=8),
        ),
    ]
