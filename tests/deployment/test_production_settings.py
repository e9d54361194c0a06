import json
from pathlib import Path

import pytest

from tests.deployment.production import COMPLETE, run

SETTINGS = """
import django
from django.conf import settings
django.setup()
print(settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_SECURE, settings.SECURE_HSTS_SECONDS)
import logging
logging.getLogger("avatar").info("a line", extra={"fields": {"status": 200}})
"""

READ = """
import json
from django.conf import settings
bucket = settings.STORAGES["default"]["OPTIONS"]
names = ("SECRET_KEY", "SALT_KEY", "DATABASE_URL", "REDIS_URL")
print(json.dumps([*(getattr(settings, name) for name in names), bucket["secret_key"]]))
"""


def test_djangos_own_checks_find_nothing_in_a_complete_production() -> None:
    checked = run("manage.py", "check", "--deploy", "--fail-level", "INFO", environment=COMPLETE)

    assert checked.returncode == 0, checked.stderr
    assert "no issues (0 silenced)" in checked.stdout


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("REDIS_URL", "redis://redis.example.com:6379/0", "avatar_api.E004"),
        ("OUTBOUND_ALLOW_PRIVATE", "true", "jobs.E001"),
    ],
)
def test_what_would_be_unsafe_in_production_is_refused(name: str, value: str, code: str) -> None:
    checked = run("manage.py", "check", "--deploy", environment={**COMPLETE, name: value})

    assert checked.returncode == 1
    assert code in checked.stderr


def test_production_logs_json_and_keeps_cookies_to_this_very_host() -> None:
    started = run("-c", SETTINGS, environment=COMPLETE)

    assert started.stdout.split() == ["__Host-sessionid", "True", "31536000"]
    assert '"message": "a line", "status": 200' in started.stderr


def test_production_does_not_start_without_its_secrets_and_the_last_line_names_the_missing_one() -> None:
    incomplete = {name: value for name, value in COMPLETE.items() if name != "SALT_KEY"}
    started = run("manage.py", "check", "--deploy", environment=incomplete)

    assert started.returncode == 1
    assert '"SALT_KEY" not set' in started.stderr.splitlines()[-1]


def test_secrets_may_be_files_that_end_with_a_newline(tmp_path: Path) -> None:
    secrets = ["SECRET_KEY", "SALT_KEY", "DATABASE_URL", "REDIS_URL", "R2_SECRET_ACCESS_KEY"]
    for name in secrets:
        (tmp_path / name).write_text(f"{COMPLETE[name]}\n")
    mounted = {f"{name}_FILE": str(tmp_path / name) for name in secrets}
    told = {name: value for name, value in COMPLETE.items() if name not in secrets}
    started = run("-c", READ, environment=told | mounted)

    assert json.loads(started.stdout) == [COMPLETE[name] for name in secrets], started.stderr


DATABASE = """
from django.conf import settings
database = settings.DATABASES["default"]
print(database["CONN_MAX_AGE"], database["CONN_HEALTH_CHECKS"], database["OPTIONS"]["connect_timeout"])
"""


def test_each_thread_keeps_a_connection_and_none_waits_long_for_a_database_that_is_away() -> None:
    kept_seconds, checked, seconds = run("-c", DATABASE, environment=COMPLETE).stdout.split()

    assert int(kept_seconds) > 0
    assert checked == "True"
    assert int(seconds) <= 5
