"""Real servers from wheels: started by anybody, met by nobody else, and gone when their owner is."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from avatar_api import child_process
from avatar_api.embedded import Postgres, ServerInUseError, Valkey, throwaway_services

OWNER = """
import sys, time
from pathlib import Path
from avatar_api.embedded import Postgres, Valkey
home = Path(sys.argv[1])
with Postgres(home / "postgres") as postgres, Valkey(home / "valkey") as valkey:
    print(postgres._process.pid, valkey._process.pid, flush=True)
    time.sleep(600)
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
as_root = pytest.mark.skipif(os.getuid() != 0 or sys.platform != "linux", reason="only root on Linux")


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 120
    while child_process.command_line(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data made once, because making them takes most of the time."""
    data_dir = tmp_path_factory.mktemp("embedded") / "postgres"
    with Postgres(data_dir):
        pass
    return data_dir


def test_what_was_written_is_there_after_a_restart(cluster: Path, tmp_path: Path):
    with Postgres(cluster) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with Postgres(cluster) as postgres, psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)

    with Valkey(tmp_path / "valkey") as valkey, Redis.from_url(valkey.url) as redis:
        redis.set("kept", "42")
    with Valkey(tmp_path / "valkey") as valkey, Redis.from_url(valkey.url) as redis:
        assert redis.get("kept") == b"42"


def test_text_is_unicode_and_sorts_the_same_on_every_machine(cluster: Path):
    with Postgres(cluster) as postgres, psycopg.connect(postgres.url) as connection:
        upper, sorts_by_code_point = connection.execute("SELECT upper('grün'), 'a' > 'B'").fetchone()
    assert upper == "GRÜN"
    assert sorts_by_code_point


def test_the_same_data_are_never_opened_twice(cluster: Path):
    with Postgres(cluster) as first:
        with pytest.raises(ServerInUseError, match="stop that one first"), Postgres(cluster):
            pass
        psycopg.connect(first.url).close()  # the refusal did the first no harm


def test_two_clones_do_not_meet(cluster: Path, tmp_path: Path):
    with Valkey(tmp_path / "one" / "valkey") as one, Valkey(tmp_path / "two" / "valkey") as two:
        assert one.url != two.url
        with Redis.from_url(one.url) as first, Redis.from_url(two.url) as second:
            first.set("whose", "one")
            assert second.get("whose") is None


def test_the_sockets_are_closed_to_other_users(cluster: Path):
    with Postgres(cluster) as postgres:
        assert postgres.socket_dir.stat().st_mode & 0o777 == 0o700


def test_stopping_leaves_no_process_and_no_socket(cluster: Path):
    with Postgres(cluster) as postgres:
        assert postgres._process
        pid = postgres._process.pid
    assert not child_process.command_line(pid)
    assert not postgres.socket_dir.exists()


@on_linux
def test_servers_die_with_an_owner_that_was_killed_and_start_again_afterwards(cluster: Path):
    home = cluster.parent
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        owner.kill()
    for pid in pids:
        wait_until_gone(pid)
    with Postgres(home / "postgres"), Valkey(home / "valkey"):
        pass


@on_linux
def test_a_server_that_outlived_its_owner_is_stopped_by_the_next_start(cluster: Path):
    orphaned = Postgres(cluster)
    orphaned.prepare()
    orphan = subprocess.Popen(
        orphaned.command, env=orphaned.environment, preexec_fn=orphaned.before_exec, stderr=subprocess.DEVNULL
    )
    while not orphaned.is_ready():
        time.sleep(0.01)
    assert orphaned._lock
    orphaned._lock.close()  # as the kernel does when the owner is killed

    with Postgres(cluster) as postgres:
        orphan.wait(120)
        psycopg.connect(postgres.url).close()


def test_a_stale_pid_that_names_a_stranger_neither_stops_the_start_nor_the_stranger(cluster: Path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        (cluster / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster}\n")
        with Postgres(cluster) as postgres:
            psycopg.connect(postgres.url).close()
        assert stranger.poll() is None
        stranger.send_signal(signal.SIGKILL)


def test_data_cut_short_while_they_were_made_are_made_anew(tmp_path: Path):
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "half-written").touch()
    with Postgres(tmp_path / "postgres", durable=False) as postgres:
        psycopg.connect(postgres.url).close()
    assert not (tmp_path / "postgres.new").exists()


@as_root
@pytest.mark.parametrize("way", [child_process.enter_user_namespace, child_process.become_nobody])
def test_root_runs_postgres_as_nobody_in_either_way(cluster: Path, way: child_process.BeforeExec):
    closed = [
        str(folder)
        for folder in Path(sys.prefix).resolve().parents
        if not folder.stat().st_mode & stat.S_IXOTH
    ]
    if way is child_process.become_nobody and closed:
        pytest.skip(f"nobody can't enter {closed[-1]}, where Postgres is installed")
    postgres = Postgres(cluster)
    postgres._become = way
    with postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("CHECKPOINT")


def test_throwaway_services_leave_nothing_and_clear_what_a_crash_left(tmp_path: Path):
    (tmp_path / "abandoned" / "postgres").mkdir(parents=True)
    with throwaway_services(tmp_path) as services:
        psycopg.connect(services.database_url).close()
        Redis.from_url(services.redis_url).close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
