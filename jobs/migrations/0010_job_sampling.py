from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0009_choices")]

    operations = [
        migrations.AddField(
            model_name="job", name="sampling", field=models.JSONField(blank=True, null=True)
        ),
    ]
