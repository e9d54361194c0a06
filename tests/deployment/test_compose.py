"""The compose files: what compose itself says of them where it is installed, and what it doesn't look at."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.environment_table import MEANINGS
from tests.deployment import production
from tests.deployment.production import REPOSITORY
from tests.s3_store import S3Server

FILES = ("compose.yaml", "compose.production.yaml")
# Of the images of others, and of compose itself.
NOT_OURS = re.compile(r"POSTGRES_\w+|ROOT_\w+|API_HOST|IMAGE|DJANGO_SETTINGS_MODULE")


def compose() -> list[str] | None:
    """The command, if there is one: compose is a plugin of docker or a program of its own."""
    for command in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(command[0]) and run(*command, "version").returncode == 0:
            return command
    return None


def run(*command: str, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "IMAGE": "example/avatar-api:1.0.0", "API_HOST": "example.com"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def services(file: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load((REPOSITORY / file).read_text())["services"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("file", FILES)
def test_compose_finds_nothing_to_complain_of(file: str, tmp_path: Path) -> None:
    command = compose()
    if command is None:
        pytest.skip("docker compose isn't installed")
    shutil.copy(REPOSITORY / file, tmp_path)
    for name in ("control.env", "render.env"):  # The operator writes them.
        (tmp_path / name).touch()
    checked = run(*command, "--file", file, "--profile", "*", "config", "--quiet", folder=tmp_path)

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("file", FILES)
def test_variables_that_are_set_are_variables_that_are_read(file: str) -> None:
    for service in services(file).values():
        names = [entry.partition("=")[0] for entry in service.get("environment", {})]
        ours = {name.removesuffix("_FILE") for name in names if not NOT_OURS.fullmatch(name)}

        assert ours <= MEANINGS.keys()


@pytest.mark.parametrize("file", FILES)
def test_the_render_worker_never_learns_where_the_database_is(file: str) -> None:
    worker = services(file)["render-cpu"]

    assert not {"DATABASE_URL", "DATABASE_URL_FILE", "SECRET_KEY_FILE"} & worker["environment"].keys()
    assert not {"database_url", "secret_key", "salt_key"} & set(worker.get("secrets", []))


@pytest.mark.parametrize("file", FILES)
def test_our_containers_can_change_nothing_but_tmp(file: str) -> None:
    ours = {
        name: service
        for name, service in services(file).items()
        if name not in ("postgres", "valkey", "store", "proxy")
    }

    assert ours.keys() >= {"web", "reports", "outbound", "speech-cpu", "periodic", "render-cpu"}
    for service in ours.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["deploy"]["resources"]["limits"]["memory"]


@pytest.mark.parametrize("file", FILES)
def test_no_container_can_use_up_the_processes_of_its_machine(file: str) -> None:
    for name, service in services(file).items():
        assert 0 < service["pids_limit"] <= 1024, name


def test_what_the_operator_writes_beside_it_is_kept_out_of_git() -> None:
    secrets = yaml.safe_load((REPOSITORY / "compose.production.yaml").read_text())["secrets"]
    ignored = (REPOSITORY / ".gitignore").read_text().splitlines()

    assert all(secret["file"].startswith("secrets/") for secret in secrets.values())
    assert {"/control.env", "/render.env", "/secrets/"} <= set(ignored)


def test_the_bucket_is_made_where_there_is_none_and_left_where_there_is(tmp_path: Path) -> None:
    pytest.importorskip("nanio")
    *_, script = services("compose.yaml")["prepare"]["command"]
    (code,) = re.findall(r"--command '(.*)'", script, re.DOTALL)
    with S3Server(tmp_path) as server:
        environment = server.environment | {
            "DJANGO_SETTINGS_MODULE": "avatar_api.settings.local",
            "R2_BUCKET": "avatar",
            "PATH": os.environ["PATH"],
        }
        twice = f"{code}\n{code}"
        made = production.run("manage.py", "shell", "--command", twice, environment=environment)

    assert made.returncode == 0, made.stderr
    assert (tmp_path / "avatar").is_dir()
