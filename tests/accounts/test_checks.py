"""Which deployments `manage.py check --deploy` refuses."""

from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings
from redis import Redis

from accounts.models import Plan

GOOD = {
    "SECRET_KEY": "s" * 50,
    "SALT_KEY": "t" * 50,
    "ALLOWED_HOSTS": ["api.example.com"],
    "PUBLIC_URL": "https://api.example.com",
    "METRICS_TOKEN": "m" * 24,
    "REDIS_URL": "rediss://redis.example.com",
    "TRUSTED_PROXY_HOPS": 1,
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.ScryptPasswordHasher"],
    "STORAGES": {"default": {"BACKEND": "storages.backends.s3.S3Storage"}},
}
FOLDER = {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"}}


def found(settings: Settings, changes: dict[str, Any]) -> list[str]:
    """Our own messages about settings that are good but for the changes."""
    for name, value in (GOOD | changes).items():
        setattr(settings, name, value)
    messages = run_checks(include_deployment_checks=True)
    return [message.id for message in messages if message.id.startswith(("avatar_api.", "accounts."))]


def test_a_good_deployment_passes(settings: Settings):
    assert found(settings, {}) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SECRET_KEY": "short"}, "avatar_api.E001"),
        ({"SALT_KEY": ""}, "avatar_api.E001"),
        ({"SALT_KEY": "s" * 50}, "avatar_api.E002"),
        ({"ALLOWED_HOSTS": ["api.example.com", "*"]}, "avatar_api.E003"),
        ({"REDIS_URL": "redis://redis.example.com"}, "avatar_api.E004"),
        ({"STORAGES": FOLDER}, "avatar_api.W001"),
        ({"PUBLIC_URL": "https://api.example.org"}, "avatar_api.E005"),
        ({"METRICS_TOKEN": "guess-me"}, "avatar_api.E006"),
        ({"TRUSTED_PROXY_HOPS": -1}, "accounts.E001"),
        ({"TRUSTED_PROXY_HOPS": 0}, "accounts.E002"),
        ({"PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"]}, "accounts.E003"),
        ({"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}, "accounts.W007"),
    ],
)
def test_a_bad_one_is_told_what_is_wrong(settings: Settings, changes: dict[str, Any], message: str):
    assert found(settings, changes) == [message]


def test_a_redis_that_evicts_or_is_away_is_found_where_servers_are_looked_at(
    settings: Settings, redis: Redis, db: None
):
    reachable = settings.REDIS_URL

    def looked_at() -> set[str]:
        return {message.id for message in run_checks(include_deployment_checks=True, databases=["default"])}

    assert not looked_at() & {"avatar_api.E007", "avatar_api.E008"}
    redis.config_set("maxmemory-policy", "volatile-lru")
    try:
        assert "avatar_api.E008" in looked_at()
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert "avatar_api.E007" in looked_at()
    settings.REDIS_URL = reachable


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "unix:///run/redis.sock", "redis://localhost"])
def test_redis_on_the_same_machine_needs_no_encryption(settings: Settings, url: str):
    assert found(settings, {"REDIS_URL": url}) == []


def test_without_any_proxy_none_is_counted(settings: Settings):
    assert found(settings, {"TRUSTED_PROXY_HOPS": 0, "SECURE_PROXY_SSL_HEADER": None}) == []


def plans_found() -> list[str]:
    return [message.id for message in run_checks(tags=["database"], databases=["default"])]


@pytest.mark.django_db
def test_the_seeded_plans_fit():
    assert plans_found() == []


@pytest.mark.django_db
def test_a_missing_plan_is_noticed():
    Plan.objects.filter(code="test").delete()
    assert plans_found() == ["accounts.E004"]


@pytest.mark.django_db
def test_a_plan_that_promises_too_much_is_noticed(settings: Settings):
    settings.MAX_UPLOAD_BYTES = 50_000_000
    assert set(plans_found()) == {"accounts.W001"}
