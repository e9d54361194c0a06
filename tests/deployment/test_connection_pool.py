"""Everything works behind a pool of connections in transaction mode: a real pgbouncer, where there is one."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.core.management import call_command
from django.db import connection, connections
from redis import Redis

from accounts import idempotency
from accounts.limits import effective_limits
from accounts.tenant import Tenant
from avatar_api import child_process
from avatar_api.common.advisory_lock import advisory_lock
from jobs.models import Job
from jobs.operations import periodic
from jobs.storage.audit import Audit
from tests import factories

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
PORT = "6543"

pytestmark = [
    pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer isn't installed"),
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
]


@pytest.fixture(autouse=True)
def pool(transactional_db: None, redis: Redis, store: Path) -> Iterator[None]:
    """Every connection goes through a pool of six, each lent for a transaction."""
    address = connection.settings_dict
    direct = {name: address[name] for name in ("HOST", "PORT")}
    with TemporaryDirectory(prefix="pool") as folder, running(Path(folder), address):
        connection.close()
        address |= {"HOST": folder, "PORT": PORT}
        try:
            yield
        finally:
            connection.close()
            address |= direct


class running:  # noqa: N801 (used like a function)
    def __init__(self, folder: Path, address: dict[str, str]) -> None:
        self._folder = folder
        folder.chmod(0o777)
        server = f"host={address['HOST']} user={address['USER']}"
        (folder / "pool.ini").write_text(
            f"[databases]\n* = {server}\n[pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\n"
            f"unix_socket_dir = {folder}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 6\n"
        )

    def __enter__(self) -> None:
        assert PGBOUNCER
        self._process = subprocess.Popen(
            [PGBOUNCER, "-q", str(self._folder / "pool.ini")],
            stderr=subprocess.PIPE,
            preexec_fn=child_process.become_nobody if os.getuid() == 0 else None,  # As root it refuses.
        )
        deadline = time.monotonic() + 120
        while not (self._folder / f".s.PGSQL.{PORT}").exists():
            assert self._process.poll() is None, self._process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()


def in_threads(number: int, work: object) -> list[object]:
    def run(each: int) -> object:
        try:
            return work(each)  # type: ignore[operator]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(run, range(number)))


def test_rounds_of_several_processes_leave_no_lock_behind() -> None:
    in_threads(4, lambda _: [periodic.reconcile_once() for _ in range(3)])
    assert periodic.reconcile_once() is not None


def test_a_lock_is_free_after_it_was_held() -> None:
    def hold(number: int) -> bool:
        with advisory_lock(f"key {number}") as mine, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return mine

    for _ in range(3):
        assert in_threads(4, hold) == [True] * 4
    with advisory_lock("key 0") as mine, advisory_lock("key 0") as again:
        assert (mine, again) == (True, False)


def test_no_idempotency_key_is_left_in_use() -> None:
    """Thirty jobs, each of them made with a key and then made again."""
    acme = factories.organization("Acme")
    tenant = Tenant(acme, livemode=False, scopes=frozenset(), limits=effective_limits(acme, livemode=False))

    def make_twice(thread: int) -> None:
        for number in range(10):
            claim = idempotency.request_of(f"{thread}-{number}", "jobs", {})
            made = idempotency.make_once(tenant, claim, lambda: factories.job(acme))
            assert claim
            replayed = idempotency.replay(tenant, claim)
            assert replayed
            assert replayed.object_id == made.pk
            with idempotency.claimed(tenant, replace(claim, key=f"{claim.key}-again")):
                pass

    in_threads(3, make_twice)
    assert Job.objects.count() == 30


def test_the_audit_reads_more_rows_than_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.storage.audit.ROWS", 2)
    acme = factories.organization("Acme")
    for _ in range(5):
        factories.job(acme)
    audit = Audit()
    list(audit.findings())
    assert audit.jobs == 5


def test_migrations_leave_no_time_out_behind() -> None:
    call_command("migrate", "sessions", "zero", verbosity=0)
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)
