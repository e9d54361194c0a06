"""Measured figures say at which commit they were measured, and a check says what has changed since."""

import re
import subprocess
from pathlib import Path

import pytest

from launcher.checks import checks
from ops import measured_figures

ROOT = Path(__file__).resolve().parents[2]
PERFORMANCE = ROOT / "docs" / "PERFORMANCE.md"


def test_every_section_of_measured_figures_says_at_which_commit() -> None:
    measured = PERFORMANCE.read_text().split("\n## Measured\n")[1]
    sections = re.findall(r"^### (.+)$", measured, re.MULTILINE)
    assert sections
    assert [figures.section for figures in measured_figures.measured(PERFORMANCE)] == sections


def test_what_decides_the_figures_is_there() -> None:
    for figures in measured_figures.measured(PERFORMANCE):
        assert [path for path in figures.paths if not (ROOT / path).exists()] == []


def test_the_check_is_part_of_lint() -> None:
    assert "measured figures" in checks()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with figures of `code.py`, measured at its only commit."""
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "code.py", "1")
    (tmp_path / "docs").mkdir()
    mark = f"# Speed\nMeasured at `{git(tmp_path, 'rev-parse', '--short', 'HEAD')}`: `code.py`, `package`.\n"
    commit(tmp_path, "docs/SPEED.md", mark)
    return tmp_path


def git(repository: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=repository, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(repository: Path, name: str, text: str) -> None:
    (repository / name).write_text(text)
    git(repository, "add", name)
    git(repository, "commit", "--quiet", "--message", f"change {name}")


def test_figures_are_told_apart_by_what_has_changed(repository: Path) -> None:
    assert [line.endswith("nothing has changed since") for line in measured_figures.report(repository)] == [
        True
    ]
    commit(repository, "code.py", "2")
    (line,) = measured_figures.report(repository)
    assert "Speed" in line
    assert line.endswith("change code.py")


def test_a_clone_without_the_commit_says_so(repository: Path) -> None:
    commit(repository, "docs/SPEED.md", "# Speed\nMeasured at `abcdef0`: `code.py`.\n")
    assert [line.endswith("knows nothing") for line in measured_figures.report(repository)] == [True]
