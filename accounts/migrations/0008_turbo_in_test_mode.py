from django.db import migrations

ADDED = ["instant", "turbo"]


def add(apps, schema_editor):
    """Whoever builds on the API can try every preset; what live plans offer is the operator's choice."""
    Plan = apps.get_model("accounts", "Plan")
    for plan in Plan.objects.filter(code="test"):
        plan.presets = sorted({*plan.presets, *ADDED})
        plan.save(update_fields=["presets"])


def remove(apps, schema_editor):
    Plan = apps.get_model("accounts", "Plan")
    for plan in Plan.objects.filter(code="test"):
        plan.presets = [preset for preset in plan.presets if preset not in ADDED]
        plan.save(update_fields=["presets"])


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_idempotency_claims")]

    operations = [migrations.RunPython(add, remove, elidable=True)]
