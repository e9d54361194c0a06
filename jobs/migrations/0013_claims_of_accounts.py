from django.db import migrations


class Migration(migrations.Migration):
    # `accounts` has the model from its next migration on; the table stays where it is.
    dependencies = [
        ("jobs", "0012_audio_channels_and_crop"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel(name="IdempotencyClaim")],
        ),
    ]
