"""What the launcher shows: colours, steps and progress, on a terminal and in a log alike."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from enum import Enum

BAR_WIDTH = 30


class Failure(Exception):  # noqa: N818  (the text is the whole message to the user)
    """The command can't go on; the text is one sentence that says what to do."""


class Colour(Enum):
    RED = 31
    GREEN = 32
    YELLOW = 33
    BLUE = 34
    MAGENTA = 35
    CYAN = 36
    GREY = 90


def is_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: Colour) -> str:
    if "NO_COLOR" in os.environ or not (is_terminal() or "FORCE_COLOR" in os.environ):
        return text
    return f"\x1b[{colour.value}m{text}\x1b[0m"


def say(text: str = "") -> None:
    print(text, flush=True)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a step and tell how long it took."""
    if is_terminal():
        print(f"  {name} …", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"\r  {coloured('✗', Colour.RED)} {name}\x1b[K" if is_terminal() else f"  ✗ {name}")
        raise
    finished(name, time.monotonic() - started)


def finished(name: str, seconds: float) -> None:
    clear = "\r\x1b[K" if is_terminal() else ""
    say(f"{clear}  {coloured('✓', Colour.GREEN)} {name:<44} {seconds:6.1f} s")


class Progress:
    """One line that fills up; without a terminal, a line for every tenth."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self._tenth = -1

    def show(self, fraction: float, detail: str) -> None:
        if is_terminal():
            filled = round(fraction * BAR_WIDTH)
            bar = coloured("█" * filled, Colour.CYAN) + "░" * (BAR_WIDTH - filled)
            elapsed = time.monotonic() - self.started
            room = max(0, shutil.get_terminal_size().columns - BAR_WIDTH - 20)
            print(f"\r\x1b[K  {bar} {fraction:4.0%} {elapsed:4.0f} s  {detail[:room]}", end="", flush=True)
        elif int(fraction * 10) > self._tenth:
            self._tenth = int(fraction * 10)
            say(f"  {self.name}: {fraction:.0%}  {detail}")

    def finish(self, name: str | None = None) -> None:
        finished(name or self.name, time.monotonic() - self.started)
