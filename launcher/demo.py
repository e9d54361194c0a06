"""`make run` and `make demo`: the stack, and a client that makes one video with it."""

import asyncio
import os
import sys
from itertools import cycle
from pathlib import Path

from launcher import stack
from launcher.environment import ROOT
from launcher.supervisor import Sink
from launcher.terminal import Colour, Failure, coloured, say

NAME_WIDTH = 10
LOGS = stack.STATE / "logs"
MAIL = stack.STATE / "mail"


async def run(port: int | None) -> int:
    """Serve until Ctrl-C, with the logs of all processes on the terminal."""
    async with stack.running(to_terminal(), port) as running:
        print_addresses(running)
        say("  Ctrl-C stops everything.\n")
        raise Failure(await running.supervisor.first_end())


async def demo(port: int | None, image: Path, audio: Path, target: Path, *, text: str, keep: bool) -> int:
    """Make one video as a client over HTTP; with `keep`, serve until Ctrl-C afterwards."""
    for path in (image, audio):
        if not path.is_file():
            raise Failure(f"There is no file {path}: give your own with IMAGE=… and AUDIO=….")
    async with stack.running(to_files(), port) as running:
        await make_video(running, image, audio, text, target)
        print_addresses(running)
        if keep:
            say("  All of it keeps running until Ctrl-C.\n")
            raise Failure(await running.supervisor.first_end())
        say("  All of it stops now; `make demo KEEP=1` leaves it running, `make run` also shows its logs.\n")
    return 0


async def make_video(running: stack.Stack, image: Path, audio: Path, text: str, target: Path) -> None:
    files = ["--image", str(image), "--audio", str(audio), "--output", str(target)]
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "launcher.client", "--url", running.url, *files),
        cwd=ROOT,
        # A command line would show key and text to everybody on the machine.
        env=os.environ | {"AVATAR_KEY": running.demo.api_key, "AVATAR_TEXT": text, "no_proxy": "127.0.0.1"},
    )
    client_ends = asyncio.create_task(client.wait())
    program_ends = asyncio.create_task(running.supervisor.first_end())
    try:
        await asyncio.wait([client_ends, program_ends], return_when=asyncio.FIRST_COMPLETED)
        if program_ends.done():
            raise Failure(program_ends.result())
        if client_ends.result():
            raise Failure(f"The demo failed, see above; what each process wrote lies in {LOGS}.")
    finally:
        program_ends.cancel()
        if client.returncode is None:
            client.kill()


def print_addresses(running: stack.Stack) -> None:
    rows = {
        "start page": f"{running.url}/",
        "API documentation": f"{running.url}/docs",
        "browsable API": f"{running.url}/v1/jobs  (log in first)",
        "admin": f"{running.url}/admin/  {running.demo.email}  {running.demo.password}",
        "mail": str(MAIL),
        "API key": running.demo.api_key,
    }
    say()
    for name, value in rows.items():
        say(f"  {name:<18} {coloured(value, Colour.CYAN)}")
    say(
        f"\n  curl {running.url}/v1/jobs -H 'Authorization: Bearer {running.demo.api_key}' \\\n"
        "      -F image=@samples/portrait.png -F audio=@samples/speech.wav\n"
    )


def to_terminal() -> Sink:
    """Each line after its program's name, in the program's own colour."""
    colours: dict[str, Colour] = {}
    palette = cycle([Colour.CYAN, Colour.YELLOW, Colour.MAGENTA, Colour.GREEN, Colour.BLUE, Colour.GREY])

    def show(name: str, line: str) -> None:
        colour = colours.setdefault(name, next(palette))
        say(f"{coloured(f'{name:<{NAME_WIDTH}} │', colour)} {line}")

    return show


def to_files() -> Sink:
    """A log file for each program, begun anew."""
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in LOGS.glob("*.log"):
        old.unlink()

    def write(name: str, line: str) -> None:
        with (LOGS / f"{name}.log").open("a") as log:
            log.write(line + os.linesep)

    return write
