"""The commands that `make` offers. Options come as variables, as in `make demo KEEP=1`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from launcher import stack
from launcher.environment import MADE_BY_US, ROOT, Group, enter
from launcher.terminal import Colour, Failure, coloured, say

HELP = """\
make demo    make one talking video from scratch: IMAGE=me.jpg AUDIO=me.mp3 (or TEXT="Hello") KEEP=1 PORT=8000
make run     the whole stack, until Ctrl-C: PORT=8000
make test    every test: ARGS="-k cancel -x"
make proofs  the long forms of some tests, which `make test` leaves out
make lint    every check
make bench   measure, and write bench.json
make gpu-proof  measure on one NVIDIA GPU what the documents compute: PART=n
make chaos   200 videos while everything is broken, and all promises checked: SEED=1 JOBS=200 SECONDS=750
make lock    resolve pyproject.toml to requirements/*.txt: UPGRADE=1
make clean   remove .venv, .avatar with all its data, caches, demo.mp4 and bench.json
"""


def main(arguments: list[str]) -> int:
    command = COMMANDS.get(arguments[0] if arguments else "help")
    if command is None:
        say(HELP)
        return 2
    os.chdir(ROOT)
    try:
        return command(arguments)
    except Failure as failure:
        say(coloured(f"\n{failure}", Colour.RED))
        return 1
    except KeyboardInterrupt:
        return 130


def demo(arguments: list[str]) -> int:
    image = Path(os.environ.get("IMAGE") or "samples/portrait.png").expanduser()
    audio = Path(os.environ.get("AUDIO") or "samples/speech.wav").expanduser()
    text = os.environ.get("TEXT", "")
    port = wanted_port()
    enter_web(arguments)
    from launcher import demo as programs
    from launcher.supervisor import until_signaled

    target = Path("demo.mp4")
    return until_signaled(programs.demo(port, image, audio, target, text=text, keep=is_set("KEEP")))


def run(arguments: list[str]) -> int:
    port = wanted_port()
    enter_web(arguments)
    from launcher import demo as programs
    from launcher.supervisor import until_signaled

    return until_signaled(programs.run(port))


def enter_web(arguments: list[str]) -> None:
    """Go on in an environment without torch, and with what `.env` says, where there is one."""
    enter(Group.WEB, arguments)
    from dotenv import load_dotenv

    load_dotenv(ROOT / ".env")


def is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def wanted_port() -> int | None:
    text = os.environ.get("PORT", "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise Failure(f"PORT={text} is no port: use a number from 1 to 65535.")
    return int(text)


def test(arguments: list[str]) -> int:
    enter(Group.DEV, arguments)
    from launcher import checks

    return checks.test(os.environ.get("ARGS", ""))


def proofs(arguments: list[str]) -> int:
    enter(Group.DEV, arguments)
    from launcher import checks

    return checks.test(f"-m proof {os.environ.get('ARGS', '')}")


def lint(arguments: list[str]) -> int:
    enter(Group.DEV, arguments)
    from launcher import checks

    return checks.lint()


def bench(arguments: list[str]) -> int:
    enter(Group.DEV, arguments)
    return subprocess.run([sys.executable, "-m", "benchmarks"], check=False).returncode


def gpu_proof(arguments: list[str]) -> int:
    enter(Group.DEV, arguments)
    return subprocess.run([sys.executable, "-m", "benchmarks", "gpu"], check=False).returncode


def chaos(arguments: list[str]) -> int:
    enter(Group.DEV, arguments)
    return subprocess.run([sys.executable, "-m", "chaos"], check=False).returncode


def lock(arguments: list[str]) -> int:
    enter(Group.DEV, arguments)
    from launcher import lock as locking

    return locking.lock(upgrade=is_set("UPGRADE"))


def clean(_: list[str]) -> int:
    with stack.alone_in_this_clone():
        remove_what_we_made()
    return 0


def remove_what_we_made() -> None:
    for name in MADE_BY_US:
        path = ROOT / name
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        else:
            continue
        say(f"removed {name}")


def show_help(_: list[str]) -> int:
    say(HELP)
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "demo": demo,
    "run": run,
    "test": test,
    "proofs": proofs,
    "lint": lint,
    "bench": bench,
    "gpu-proof": gpu_proof,
    "chaos": chaos,
    "lock": lock,
    "clean": clean,
    "help": show_help,
}
