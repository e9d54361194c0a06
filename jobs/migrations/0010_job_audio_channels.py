from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0009_choices")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="audio_channels",
            field=models.CharField(db_default="mix", default="mix", max_length=8),
        ),
    ]
