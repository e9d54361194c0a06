"""What stops a bad deployment: `manage.py check --deploy`. Of secrets, hosts, storage and Redis."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.http.request import validate_host
from redis.exceptions import RedisError

from avatar_api.common.redis import readiness_client

MIN_SECRET_LENGTH = 50
MIN_TOKEN_LENGTH = 24
NO_EVICTION = "noeviction"
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
def links_lead_here(**kwargs: Any) -> list[CheckMessage]:
    """A host that isn't allowed would refuse every link that we hand out."""
    host = urlsplit(settings.PUBLIC_URL).hostname
    if host is None or validate_host(host, settings.ALLOWED_HOSTS):
        return []
    hint = f"Add {host} to ALLOWED_HOSTS."
    return [Error("The host of PUBLIC_URL is not in ALLOWED_HOSTS.", hint=hint, id="avatar_api.E005")]


@register(Tags.security, deploy=True)
def metrics_are_guarded(**kwargs: Any) -> list[CheckMessage]:
    if not settings.METRICS_TOKEN or len(settings.METRICS_TOKEN) >= MIN_TOKEN_LENGTH:
        return []
    text = f"METRICS_TOKEN has under {MIN_TOKEN_LENGTH} characters."
    hint = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
    return [Error(text, hint=hint, id="avatar_api.E006")]


@register(Tags.database, deploy=True)
def redis_keeps_what_it_gets(databases: Sequence[str] | None, **kwargs: Any) -> list[CheckMessage]:
    """Looked at with `--database default`, as all that needs a server; never by `migrate`."""
    if not databases:
        return []
    try:
        with readiness_client() as redis:
            policy = redis.info("memory").get("maxmemory_policy", NO_EVICTION)
    except RedisError as error:
        text = f"Redis can't be reached ({type(error).__name__})."
        return [Error(text, hint="See REDIS_URL.", id="avatar_api.E007")]
    if policy == NO_EVICTION:
        return []
    text = f"Redis evicts keys when its memory is full (maxmemory-policy {policy}): queues would vanish."
    return [Error(text, hint=f"Set maxmemory-policy to {NO_EVICTION}.", id="avatar_api.E008")]


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
