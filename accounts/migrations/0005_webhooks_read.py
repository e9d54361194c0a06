import django.contrib.postgres.fields
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

SCOPES = [
    ("jobs:read", "Read jobs"),
    ("jobs:write", "Create, cancel and delete jobs"),
    ("usage:read", "Read usage"),
    ("webhooks:read", "Read webhooks and deliveries"),
    ("webhooks:write", "Manage webhooks"),
    ("keys:write", "Manage API keys"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_choices"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="apikey", name="api_key_scopes_known"),
        migrations.AlterField(
            model_name="apikey",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(choices=SCOPES, max_length=32), size=None
            ),
        ),
        AddConstraintNotValid(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("scopes__contained_by", [value for value, _ in SCOPES])),
                name="api_key_scopes_known",
            ),
        ),
    ]
