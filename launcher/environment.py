"""The virtual environment `.venv`: made, and filled again whenever its lock file changes.

`web` is what the demo needs. `dev` is everything: the InfiniteTalk engine's packages, the checks,
and torch, which stands outside the lock because the right build of it depends on the machine.
"""

import fcntl
import hashlib
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO

from launcher.terminal import Failure, Progress, step

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
MADE_BY_US = [
    *(".venv", ".avatar", "demo.mp4", "bench.json", "staticfiles", "avatar_api.egg-info"),
    *(".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache"),
]
PROBE_SECONDS = 5


class Group(StrEnum):
    WEB = "web"
    DEV = "dev"


def lock_file(group: Group) -> Path:
    return ROOT / "requirements" / f"{group}.txt"


TORCH_FILE = ROOT / "requirements" / "torch.txt"


def enter(group: Group, arguments: list[str]) -> None:
    """Make sure of the environment and go on in it: returns only where it is the running one.

    Raises:
        Failure: it can't be made or filled.
    """
    ensure(group)
    if Path(sys.prefix) != VENV:
        environment = os.environ | {
            "VIRTUAL_ENV": str(VENV),
            "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        os.chdir(ROOT)
        os.execve(PYTHON, [str(PYTHON), "-m", "launcher", *arguments], environment)  # noqa: S606


def ensure(group: Group) -> None:
    if is_current(group):
        return
    state = ROOT / ".avatar"
    state.mkdir(exist_ok=True)
    with (state / "install.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not is_current(group):
            install(group)


def is_current(group: Group) -> bool:
    """Whether what is installed is what the lock files say, here and for this Python."""
    try:
        installed = json.loads(STAMP.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return False
    return installed in [wanted(each) for each in Group if each in (group, Group.DEV)]


def wanted(group: Group) -> dict[str, str]:
    locked = lock_file(group).read_bytes() + (TORCH_FILE.read_bytes() if group is Group.DEV else b"")
    return {
        "group": group,
        "lock": hashlib.sha256(locked).hexdigest(),
        "python": sysconfig.get_python_version(),
        "root": str(ROOT),  # scripts in .venv/bin name their interpreter by its full path
    }


def install(group: Group) -> None:
    if not is_usable():
        make()
    STAMP.unlink(missing_ok=True)
    # The lock names every dependency, but for torch, which pip would otherwise fetch by itself.
    locked = ["--no-deps", "--requirement", str(lock_file(group))]
    pip_install(f"install packages ({group})", locked, count(group))
    if group is Group.DEV:
        pip_install("install torch", torch_arguments(), expected=12)
    # The project itself needs no build: a path file makes its packages importable from anywhere.
    (site_packages() / "avatar_api.pth").write_text(f"{ROOT}\n")
    write_stamp(group)


def write_stamp(group: Group) -> None:
    STAMP.write_text(json.dumps(wanted(group)))


def is_usable() -> bool:
    """Whether .venv has pip and a Python of this version; it may be broken, or moved with its clone."""
    try:
        shown = subprocess.run(
            [PYTHON, "-m", "pip", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    return str(VENV) in shown and f"(python {sysconfig.get_python_version()})" in shown


def make() -> None:
    if Path(sys.prefix) == VENV:
        raise Failure(
            "The virtual environment is broken and in use: leave it (`deactivate`) and run this again."
        )
    shutil.rmtree(VENV, ignore_errors=True)
    with step("make the virtual environment .venv"):
        made = subprocess.run(
            [sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False
        )
    if made.returncode:
        raise Failure(
            f"This Python can't make virtual environments: install its venv package (on Debian and Ubuntu "
            f"`apt install python3-venv`) and run this again.\n{made.stdout}{made.stderr}"
        )


def site_packages() -> Path:
    return VENV / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"


def count(group: Group) -> int:
    return len(re.findall(r"^[\w.-]+==", lock_file(group).read_text(), re.MULTILINE))


def torch_arguments() -> list[str]:
    """The pinned version; on Linux without a GPU the small CPU build, where its index can be reached."""
    requirement = TORCH_FILE.read_text().splitlines()[-1]
    if sys.platform == "linux" and not Path("/dev/nvidiactl").exists() and reachable(TORCH_CPU_INDEX):
        return [requirement, "--extra-index-url", TORCH_CPU_INDEX]
    return [requirement]


def reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/torch/", timeout=PROBE_SECONDS):  # noqa: S310
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def pip_install(name: str, arguments: list[str], expected: int) -> None:
    """Run pip, with a bar that counts the packages it looks at.

    Raises:
        Failure: pip failed; its last words are in the text.
    """
    command = [str(PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments]
    progress = Progress(name)
    lines: list[str] = []
    looked_at, detail = 0, "asking for the first package"
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as pip:
        assert pip.stdout
        for line in lines_and_pauses(pip.stdout):
            if line:
                lines.append(line)
            if found := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line):
                looked_at, detail = looked_at + 1, found[1]
            elif line.startswith("Installing collected packages"):
                looked_at, detail = expected, "unpacking"
            progress.show(min(looked_at / expected, 1) * 0.95, detail)
    if pip.returncode:
        raise Failure(
            "pip's last words:\n    "
            + "\n    ".join(lines[-12:])
            + "\nPackages could not be installed: see that the package index can be reached, "
            "then run this again."
        )
    progress.finish()


def lines_and_pauses(stream: IO[bytes]) -> Iterator[str]:
    """Each line as it comes, and an empty one for each second without."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=1):
                yield ""
                continue
            chunk = os.read(stream.fileno(), 65536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
