"""What stops a bad deployment: `manage.py check --deploy`. Of secrets, hosts, storage and Redis."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

MIN_SECRET_LENGTH = 50
LOOPBACK = {"localhost", "127.0.0.1", "::1", None}


@register(Tags.security, deploy=True)
def secrets_are_strong_and_different(**kwargs: Any) -> list[CheckMessage]:
    """Each must withstand guessing on its own; Django looks at SECRET_KEY alone, and only warns."""
    named = {name: getattr(settings, name, "") for name in ("SECRET_KEY", "SALT_KEY")}
    hint = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    found: list[CheckMessage] = [
        Error(f"{name} has under {MIN_SECRET_LENGTH} characters.", hint=hint, id="avatar_api.E001")
        for name, value in named.items()
        if len(value) < MIN_SECRET_LENGTH
    ]
    if named["SECRET_KEY"] == named["SALT_KEY"]:
        found.append(Error("SECRET_KEY and SALT_KEY are the same.", hint=hint, id="avatar_api.E002"))
    return found


@register(Tags.security, deploy=True)
def hosts_are_named(**kwargs: Any) -> list[CheckMessage]:
    if any(host in ("*", ".") for host in settings.ALLOWED_HOSTS):
        hint = "Name the hosts under which clients reach the API."
        return [Error("ALLOWED_HOSTS lets any host through.", hint=hint, id="avatar_api.E003")]
    return []


@register(Tags.security, deploy=True)
def redis_is_encrypted(**kwargs: Any) -> list[CheckMessage]:
    """Render workers reach Redis over networks that aren't ours."""
    address = urlsplit(settings.REDIS_URL)
    if address.scheme in ("rediss", "unix") or address.hostname in LOOPBACK:
        return []
    return [Error("REDIS_URL isn't encrypted.", hint="Use rediss://.", id="avatar_api.E004")]


@register(Tags.files, deploy=True)
def files_are_kept_in_an_object_store(**kwargs: Any) -> list[CheckMessage]:
    if "FileSystem" not in settings.STORAGES["default"]["BACKEND"]:
        return []
    hint = "Set the R2_ variables, unless web, control and render workers all share STORAGE_DIR."
    return [checks.Warning("Files are kept in a folder of this machine.", hint=hint, id="avatar_api.W001")]
