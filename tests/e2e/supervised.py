"""What the tests of the supervisor run: `python -m tests.e2e.supervised NAME`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from launcher.supervisor import Program, Supervisor, until_signaled


def tell_and_sleep() -> None:
    print(os.getpid(), flush=True)
    time.sleep(600)


def parent() -> None:
    """Has a child, which nobody tells to stop."""
    subprocess.Popen(command("tell_and_sleep"))
    tell_and_sleep()


def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell_and_sleep()


def frail() -> None:
    sys.exit("no database")


def says_goodbye() -> None:
    def stop(*_: object) -> None:
        print("stopping", flush=True)
        sys.exit()

    signal.signal(signal.SIGTERM, stop)
    print("started", flush=True)
    time.sleep(600)


def supervisor(journal: str) -> None:
    """Runs `parent` and `deaf`, and shows the process numbers that they and the child tell."""

    async def work() -> int:
        async with Supervisor(lambda _, line: print(line, flush=True), Path(journal)) as running:
            await running.start(program("parent"), program("deaf", stop_seconds=0.2))
            await running.first_end()
        return 0

    sys.exit(until_signaled(work()))


def program(behaviour: str, **options: Any) -> Program:
    return Program(**{"name": behaviour, "command": command(behaviour), "environment": os.environ} | options)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.e2e.supervised", *arguments]


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
