from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    # A migration of its own: rows are written while those that are there are looked through.
    dependencies = [
        ("accounts", "0005_webhooks_read"),
    ]

    operations = [
        ValidateConstraint(model_name="apikey", name="api_key_scopes_known"),
    ]
