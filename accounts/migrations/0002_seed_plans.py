"""The plans that a deployment starts with; operators change them in the admin."""

from decimal import Decimal

from django.db import migrations

HOUR = 3600
MB = 1_000_000

PLANS = [
    {
        "code": "free",
        "name": "Free",
        "create_per_minute": 10,
        "read_per_minute": 120,
        "concurrent_jobs": 1,
        "queued_jobs": 5,
        "video_seconds_per_month": 300,
        "max_speech_seconds": 60,
        "max_upload_bytes": 20 * MB,
        "resolutions": ["480p"],
        "presets": ["fast"],
        "price_per_video_second_usd": Decimal("0"),
        "weight": 1,
    },
    {
        "code": "pro",
        "name": "Pro",
        "create_per_minute": 60,
        "read_per_minute": 600,
        "concurrent_jobs": 3,
        "queued_jobs": 100,
        "video_seconds_per_month": 10 * HOUR,
        "max_speech_seconds": 15 * 60,
        "max_upload_bytes": 100 * MB,
        "resolutions": ["480p", "720p"],
        "presets": ["fast", "balanced"],
        "price_per_video_second_usd": Decimal("0.03"),
        "weight": 4,
    },
    {
        "code": "scale",
        "name": "Scale",
        "create_per_minute": 300,
        "read_per_minute": 3000,
        "concurrent_jobs": 10,
        "queued_jobs": 1000,
        "video_seconds_per_month": 100 * HOUR,
        "max_speech_seconds": 2 * HOUR,
        "max_upload_bytes": 500 * MB,
        "resolutions": ["480p", "720p"],
        "presets": ["fast", "balanced", "quality"],
        "price_per_video_second_usd": Decimal("0.02"),
        "weight": 16,
    },
    # What test keys may do, whatever their organization pays for. Test mode is free and outside the quota.
    {
        "code": "test",
        "name": "Test mode",
        "create_per_minute": 60,
        "read_per_minute": 600,
        "concurrent_jobs": 2,
        "queued_jobs": 50,
        "video_seconds_per_month": 100 * HOUR,
        "max_speech_seconds": 10 * 60,
        "max_upload_bytes": 50 * MB,
        "resolutions": ["480p", "720p"],
        "presets": ["fast", "balanced", "quality"],
        "price_per_video_second_usd": Decimal("0"),
        "weight": 1,
    },
]


def seed(apps, schema_editor):
    Plan = apps.get_model("accounts", "Plan")
    Plan.objects.bulk_create([Plan(**plan, retention_seconds=6 * HOUR) for plan in PLANS])


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
