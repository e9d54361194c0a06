"""`python -m ops.measured_figures`: which measured figures of docs/ are older than the code they measure.

Figures stand below a line such as ``Measured at `726191b`: `benchmarks/serving.py`, `jobs`.`` that names the
commit and what decides them. A change there makes no figure wrong, so this only reports:
measure anew (`make bench`) where the change could matter.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"^Measured at `([0-9a-f]{7,40})`: ((?:`[^`\n]+`(?:, )?)+)\.$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Measured:
    """Figures of one section.

    Attributes:
        commit: At which they were measured.
        paths: Files and folders that decide them.
    """

    document: str
    section: str
    commit: str
    paths: tuple[str, ...]


def measured(document: Path) -> Iterator[Measured]:
    text = document.read_text()
    for mark in MARK.finditer(text):
        section = HEADING.findall(text[: mark.start()])[-1]
        paths = tuple(re.findall(r"`([^`]+)`", mark.group(2)))
        yield Measured(document.name, section, mark.group(1), paths)


def changes_since(figures: Measured, repository: Path) -> list[str] | None:
    """The commits since then that changed what is measured; None where history doesn't reach back so far."""
    command = ["git", "log", "--format=%h %s", f"{figures.commit}..HEAD", "--", *figures.paths]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else None


def report(repository: Path) -> Iterator[str]:
    """A line for each section, with its newest change if there is one."""
    for document in sorted((repository / "docs").glob("*.md")):
        for figures in measured(document):
            place = f"{figures.document}, {figures.section}: measured at {figures.commit}"
            changes = changes_since(figures, repository)
            if changes is None:
                yield f"{place}, of which this clone knows nothing"
            elif changes:
                yield f"{place}; since then {len(changes)} commits changed it, the last one: {changes[0]}"
            else:
                yield f"{place}, and nothing has changed since"


def main() -> int:
    for line in report(ROOT):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
