"""`make lock`: from the ranges in pyproject.toml to exact versions with hashes, for every platform.

torch is left out of the resolution, or its CUDA packages, gigabytes of them, would come in. Its one pinned
version goes to a file of its own, for `launcher.environment` to install; that version with CUDA, as the
GPU worker's image installs it, to another.
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
TELEMETRY_FILE = ROOT / "requirements" / "telemetry.txt"
KOKORO_FILE = ROOT / "requirements" / "kokoro.txt"
TORCH_CUDA_FILE = ROOT / "requirements" / "torch-cuda.txt"
EVERYWHERE = ("--universal", "--python-version", "3.11", "--fork-strategy", "fewest")
# What Dockerfile.worker builds for.
IMAGE_PLATFORM = ("--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_28")


def lock(*, upgrade: bool) -> int:
    """Write requirements/*.txt. Versions that still fit stay, unless `upgrade` asks for the newest."""
    newest = ["--upgrade"] if upgrade else []
    with step("lock all"):
        compile_lock(
            lock_file(Group.DEV), ["--all-extras", "--group", "telemetry", "--group", "kokoro", *newest]
        )
    with step("lock the subsets"):
        # The whole lock constrains its parts, so that a package has one version wherever it is used.
        same = ["--constraints", str(lock_file(Group.DEV))]
        compile_lock(WORKER_FILE, ["--extra", "worker", "--group", "serverless", *same])
        compile_lock(lock_file(Group.WEB), ["--extra", "speech", *same])
        uv_compile(TELEMETRY_FILE, ["--group", "telemetry", *EVERYWHERE, *same])
        uv_compile(KOKORO_FILE, ["--group", "kokoro", *EVERYWHERE, *same])
    with step("lock torch with CUDA"):
        TORCH_FILE.write_text(f"{HEADER}{pinned_torch()}\n")
        uv_compile(TORCH_CUDA_FILE, [str(TORCH_FILE), *IMAGE_PLATFORM, *same, *newest])
    return 0


def compile_lock(target: Path, arguments: list[str]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as excluded:
        excluded.write("torch\n")
        excluded.flush()
        uv_compile(target, ["pyproject.toml", *EVERYWHERE, "--excludes", excluded.name, *arguments])


def uv_compile(target: Path, arguments: list[str]) -> None:
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--output-file", str(target)),
        *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--quiet"),
        *arguments,
    ]
    compiled = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise Failure(f"uv could not resolve {target.name}:\n{compiled.stderr.strip()}")
    target.write_text(HEADER + target.read_text())


def pinned_torch() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    worker: list[str] = project["optional-dependencies"]["worker"]
    return next(requirement for requirement in worker if requirement.startswith("torch=="))
