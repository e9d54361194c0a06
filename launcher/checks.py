"""`make lint` and `make test`."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from launcher.environment import MADE_BY_US, ROOT, VENV
from launcher.terminal import Colour, Failure, coloured, say

BIN = VENV / "bin"
MOST_WORKERS = 8
# Not from a wheel: a machine has it, or this check is left to one that does.
BY_THE_MACHINE = ("promtool",)


def lint() -> int:
    """Run every check, also after one has failed; 1 if any did."""
    failed = [name for name, command in checks().items() if not passes(name, command)]
    if failed:
        raise Failure(
            f"{', '.join(failed)} found something: see above; "
            "`.venv/bin/ruff check --fix` and `.venv/bin/ruff format` fix much."
        )
    return 0


def checks() -> dict[str, list[str]]:
    python = [sys.executable, "-m"]
    commands = {
        "ruff check": [*python, "ruff", "check", "."],
        "ruff format": [*python, "ruff", "format", "--check", "."],
        "mypy": [*python, "mypy"],
        "migrations": [*python, "ops.lint_migrations"],
        "measured figures": [*python, "ops.measured_figures"],
        "import-linter": [str(BIN / "lint-imports"), "--no-logo"],
        "shellcheck": [str(BIN / "shellcheck"), *shell_scripts()],
        "actionlint": [str(BIN / "actionlint"), *files(".github/workflows/*.yml")],
        "hadolint": [str(BIN / "hadolint"), *files("Dockerfile*")],
        "promtool check rules": ["promtool", "check", "rules", *files("ops/prometheus/rules.yml")],
        "promtool test rules": ["promtool", "test", "rules", *files("ops/prometheus/rules_test.yml")],
    }
    # A linter without arguments would read standard input or guess; here it has nothing to check.
    optional = ("shellcheck", "actionlint", "hadolint")
    return {name: command for name, command in commands.items() if name not in optional or len(command) > 1}


def passes(name: str, command: list[str]) -> bool:
    say(coloured(f"── {name}", Colour.CYAN))
    if command[0] in BY_THE_MACHINE and shutil.which(command[0]) is None:
        say(f"skipped: {command[0]} isn't installed")
        return True
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode == 0


def shell_scripts() -> list[str]:
    """Every file of the project that a shell would run, whatever it is called."""
    shebangs = (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash", b"#!/usr/bin/env sh")
    return [str(path) for path in project_files() if first_line(path).startswith(shebangs)]


def first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline(80)


def files(pattern: str) -> list[str]:
    return sorted(str(path) for path in ROOT.glob(pattern))


def project_files() -> Iterator[Path]:
    for top in sorted(ROOT.iterdir()):
        if top.name not in (".git", *MADE_BY_US):
            yield from (path for path in (top, *top.rglob("*")) if path.is_file())


def test(arguments: str) -> int:
    """Run the tests, against Postgres and Valkey of their own (see tests/services.py)."""
    # One more than there are cores, since tests also wait for other processes.
    workers = min(MOST_WORKERS, 1 + (os.cpu_count() or 1))
    command = [sys.executable, "-m", "pytest", "--numprocesses", str(workers)]
    # A worker that has nothing left takes from another: the slowest tests come late.
    command += ["--dist", "worksteal"]
    # Each worker computes on one core; more threads would only wait for each other.
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    return subprocess.run(
        [*command, *shlex.split(arguments)], cwd=ROOT, env=environment, check=False
    ).returncode
