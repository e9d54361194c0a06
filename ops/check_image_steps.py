"""Runs the steps of an image's build without a Docker engine, and starts what the image starts.

    python ops/check_image_steps.py Dockerfile [--python python3.13] [--size]
    python ops/check_image_steps.py Dockerfile.worker --torch-from .venv

The stage `build` is followed instruction by instruction in an empty folder, which stands for the root of
the image: ENV, ARG, COPY, WORKDIR and RUN. Then every module that one of the image's commands starts is
imported by the environment that came of it. What needs a Debian to be changed (apt, users) is left out.
"""

import argparse
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# Folders of the image, which here lie below the folder that stands for its root.
IMAGE_FOLDERS = re.compile(r"(?<![\w./-])/(opt/venv|app|tmp)\b")

STARTED = {
    "Dockerfile": [
        "granian",
        "avatar_api.asgi",
        "avatar_api.common.probe",
        "jobs.management.commands.control_worker",
        "gpu_worker.worker",
        "gpu_worker.engines.preview",
    ],
    "Dockerfile.worker": [
        "gpu_worker.worker",
        "gpu_worker.serverless",
        "gpu_worker.model_store.convert",
        "gpu_worker.engines.infinitetalk",
    ],
}
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "avatar_api.settings.production",
    "SECRET_KEY": "only to import the settings " * 2,
    "SALT_KEY": "only to import the settings",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "REDIS_URL": "rediss://127.0.0.1:1/0",
    "PUBLIC_URL": "https://api.example.com",
    "ALLOWED_HOSTS": "api.example.com",
}


@dataclass
class Image:
    """The image so far: a folder for its root, its environment and where it works."""

    root: Path
    environment: dict[str, str]
    workdir: str = "/"
    arguments: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.root / os.path.join(self.workdir, name).lstrip("/")  # noqa: PTH118  (absolute names win)

    def here(self, text: str) -> str:
        """A command line or value with the image's folders where they are on this machine."""
        return IMAGE_FOLDERS.sub(lambda found: f"{self.root}/{found[1]}", text)

    def run(self, command: str) -> None:
        subprocess.run(
            ["/bin/sh", "-ec", self.here(command)],
            cwd=self.path("."),
            env=self.environment | self.arguments,
            check=True,
        )


def instructions(dockerfile: Path, stage: str) -> Iterator[tuple[str, str]]:
    """Name and text of each instruction of a stage, its continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    current = ""
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, text = line.strip().partition(" ")
        if name == "FROM":
            current = text.partition(" AS ")[2]
        elif name and current == stage:
            yield name, text.strip()


def build(dockerfile: Path, image: Image, python: str, torch_from: Path | None) -> None:
    for name, text in instructions(dockerfile, "build"):
        print(f"── {name} {text}", flush=True)
        if name == "ENV":
            for key, value in re.findall(r"(\w+)=(\S+)", text):
                image.environment[key] = image.here(value).replace("$PATH", image.environment["PATH"])
        elif name == "ARG":
            key, _, value = text.partition("=")
            image.arguments[key] = value.strip('"')
        elif name == "WORKDIR":
            image.workdir = text
            image.path(".").mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            *sources, target = text.split()
            for source in sources:
                copy(REPOSITORY / source, image.path(target), into=target.endswith("/"))
        elif torch_from and "/tmp/torch.txt" in text:  # noqa: S108  (a path in the image)
            lend_torch(torch_from, image)
        else:
            image.run(text.replace("python -m venv", f"{python} -m venv"))


def copy(source: Path, target: Path, *, into: bool) -> None:
    (target if into else target.parent).mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target / source.name if into else target)


def lend_torch(environment: Path, image: Image) -> None:
    """Link torch and what it needs from another environment: its CUDA libraries are gigabytes."""
    source, target = (
        next(each.glob("lib/python3*/site-packages")) for each in (environment, image.path("/opt/venv"))
    )
    for name in ("torch", "torchgen", "functorch", "sympy", "mpmath", "networkx"):
        for found in [source / name, *source.glob(f"{name}-*.dist-info")]:
            (target / found.name).symlink_to(found.resolve())


def import_what_starts(dockerfile: str, image: Image) -> None:
    for module in STARTED[dockerfile]:
        code = f"import {module}"
        if dockerfile == "Dockerfile":
            code = f"import django; django.setup(); {code}"
        subprocess.run(
            [str(image.path("/opt/venv/bin/python")), "-c", code],
            cwd=image.path("/app"),
            env=image.environment | PRODUCTION,
            check=True,
        )
        print(f"imported {module}")


class Counter(io.RawIOBase):
    """Counts what is written to it."""

    total = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.total += len(data)
        return len(data)


def compressed_bytes(folder: Path) -> int:
    """The size of a layer that holds the folder, as a registry would store it."""
    counter = Counter()
    with (
        gzip.GzipFile(fileobj=counter, mode="wb", compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        archive.add(folder, arcname=".")
    return counter.total


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dockerfile", choices=sorted(STARTED))
    parser.add_argument("--python", default=sys.executable, help="what makes the virtual environment")
    parser.add_argument("--torch-from", type=Path, help="link torch from this environment, don't install it")
    parser.add_argument("--size", action="store_true", help="compress what came of it, and tell the size")
    options = parser.parse_args()
    dockerfile = REPOSITORY / options.dockerfile
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        image = Image(Path(folder), environment)
        build(dockerfile, image, options.python, options.torch_from)
        if options.dockerfile == "Dockerfile.worker":
            for package in ("gpu_worker", "InfiniteTalk"):  # Copied by the last stage.
                copy(REPOSITORY / package, image.path(f"/app/{package}"), into=False)
        import_what_starts(options.dockerfile, image)
        if options.size:
            sizes = {name: compressed_bytes(image.path(name)) for name in ("/opt/venv", "/app")}
            print(json.dumps(sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
