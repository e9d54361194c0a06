"""What stops a bad deployment: `manage.py check --deploy`. Of proxies, passwords and plans.

Plans lie in the database, which Django's checks look at when told so: `--database default`.
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connection

from accounts.models import DEFAULT_PLAN, DEFAULT_TEST_PLAN, Plan

STRONG_HASHERS = ("ScryptPasswordHasher", "Argon2PasswordHasher")


@register(Tags.security, deploy=True)
def proxies_are_counted(**kwargs: Any) -> list[CheckMessage]:
    """Allow-lists, log-in throttle and audit log rest on the client's address."""
    hops = settings.TRUSTED_PROXY_HOPS
    if hops < 0:
        return [Error("TRUSTED_PROXY_HOPS can't be negative.", id="accounts.E001")]
    if hops == 0 and settings.SECURE_PROXY_SSL_HEADER is not None:
        text = "A proxy tells whether a request came by HTTPS, but no proxy is trusted with the address."
        hint = "Set TRUSTED_PROXY_HOPS to the number of proxies of yours in front."
        return [Error(text, hint=hint, id="accounts.E002")]
    return []


@register(Tags.security, deploy=True)
def passwords_are_hashed_slowly(**kwargs: Any) -> list[CheckMessage]:
    if settings.PASSWORD_HASHERS[0].endswith(STRONG_HASHERS):
        return []
    return [Error("New passwords would be hashed by neither scrypt nor argon2.", id="accounts.E003")]


@register(Tags.security, deploy=True)
def mail_gets_out(**kwargs: Any) -> list[CheckMessage]:
    """Invitations, new passwords and verifications of addresses go by mail."""
    if not settings.EMAIL_BACKEND.endswith("dummy.EmailBackend"):
        return []
    hint = "Set EMAIL_URL, such as submission://user:password@smtp.example.com."
    return [Warning("No mail is sent: nobody can reset a password.", hint=hint, id="accounts.W007")]


@register(Tags.database)
def plans_fit(databases: Sequence[str] | None, **kwargs: Any) -> list[CheckMessage]:
    """New organizations find their plans, and no plan promises what this deployment refuses."""
    # `migrate` asks before it has made the table.
    if not databases or Plan._meta.db_table not in connection.introspection.table_names():
        return []
    plans = {plan.code: plan for plan in Plan.objects.all()}
    needed = {DEFAULT_PLAN, DEFAULT_TEST_PLAN}
    return [
        *[
            Error(f"The plan {code!r}, which new organizations get, is missing.", id="accounts.E004")
            for code in sorted(needed - set(plans))
        ],
        *[
            checks.Warning(
                f"The plan {plan.code!r} allows larger files than MAX_UPLOAD_BYTES does.", id="accounts.W001"
            )
            for plan in plans.values()
            if plan.max_upload_bytes > settings.MAX_UPLOAD_BYTES
        ],
    ]
