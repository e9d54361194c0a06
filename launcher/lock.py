"""`make lock`: from the ranges in pyproject.toml to exact versions with hashes, for every platform.

torch is left out of the resolution, or its CUDA packages, gigabytes of them, would come in; its one
pinned version goes to a file of its own, for `launcher.environment` and the images to install.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from launcher.environment import ROOT, TORCH_FILE, Group, lock_file
from launcher.terminal import Failure, step

HEADER = "# Made by `make lock` from pyproject.toml; don't edit.\n"
WORKER_FILE = ROOT / "requirements" / "worker.txt"


def lock(*, upgrade: bool) -> int:
    """Write requirements/*.txt. Versions that still fit stay, unless `upgrade` asks for the newest."""
    with step("lock all"):
        compile_lock(lock_file(Group.DEV), ["--all-extras", *(["--upgrade"] if upgrade else [])])
    with step("lock the subsets"):
        # The whole lock constrains its parts, so that a package has one version wherever it is used.
        same = ["--constraints", str(lock_file(Group.DEV))]
        compile_lock(WORKER_FILE, ["--extra", "worker", "--group", "serverless", *same])
        compile_lock(lock_file(Group.WEB), same)
    TORCH_FILE.write_text(f"{HEADER}{pinned_torch()}\n")
    return 0


def compile_lock(target: Path, arguments: list[str]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as excluded:
        excluded.write("torch\n")
        excluded.flush()
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--output-file", str(target)),
            *("--universal", "--python-version", "3.11", "--fork-strategy", "fewest", "--generate-hashes"),
            *("--no-header", "--no-annotate", "--no-emit-index-url", "--quiet", "--excludes", excluded.name),
            *arguments,
        ]
        compiled = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise Failure(f"uv could not resolve pyproject.toml:\n{compiled.stderr.strip()}")
    target.write_text(HEADER + target.read_text())


def pinned_torch() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    worker: list[str] = project["optional-dependencies"]["worker"]
    return next(requirement for requirement in worker if requirement.startswith("torch=="))
