"""People, as they were known to log-in before, get what allauth keeps of them: an address and a second factor.

Addresses count as verified, since operators set them all. The rows of django-otp stay for a release.
"""

from base64 import b32encode

from django.db import migrations

from accounts.second_factor import cipher


def carry_over(apps, schema_editor):
    User = apps.get_model("accounts", "User")
    EmailAddress = apps.get_model("account", "EmailAddress")
    known = EmailAddress.objects.values("user")
    for user in User.objects.exclude(pk__in=known).iterator():
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    carry_over_devices(apps.get_model("otp_totp", "TOTPDevice"), apps.get_model("mfa", "Authenticator"))


def carry_over_devices(TOTPDevice, Authenticator):
    """The newest device of each person. All have the step and the digits that allauth uses."""
    usable = TOTPDevice.objects.filter(confirmed=True, step=30, digits=6, t0=0)
    for device in usable.order_by("user", "-pk").distinct("user"):
        secret = b32encode(bytes.fromhex(device.key)).decode()
        data = {"secret": cipher().encrypt(secret.encode()).decode()}
        Authenticator.objects.get_or_create(user_id=device.user_id, type="totp", defaults={"data": data})


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0009_user_session_epoch"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("otp_totp", "0003_add_timestamps"),
    ]

    operations = [migrations.RunPython(carry_over, migrations.RunPython.noop)]
