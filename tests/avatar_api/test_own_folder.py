"""Uploads that a process leaves behind when it is killed don't outlive the start of the next one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

LEAVE_A_FILE = "(own_folder() / 'half-an-upload').touch(); "
DIE = f"os.kill(os.getpid(), {int(signal.SIGKILL)})"


def run_a_process(temporary: Path, work: str) -> int:
    script = f"import os; from avatar_api.common.own_folder import own_folder; {work}"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_a_killed_process_left_goes_with_the_start_of_the_next(tmp_path: Path) -> None:
    assert run_a_process(tmp_path, LEAVE_A_FILE + DIE) == -signal.SIGKILL
    assert files(tmp_path)
    assert run_a_process(tmp_path, "own_folder()") == 0
    assert not files(tmp_path)


def test_a_process_takes_its_files_along_when_it_ends(tmp_path: Path) -> None:
    assert run_a_process(tmp_path, LEAVE_A_FILE) == 0
    assert not files(tmp_path)


def test_the_files_of_a_living_process_are_left_alone(tmp_path: Path) -> None:
    start_another = f"__import__('subprocess').run([{sys.executable!r}, '-c', "
    start_another += "'from avatar_api.common.own_folder import own_folder; own_folder()'], check=True); "
    look = "assert list(own_folder().iterdir())"
    assert run_a_process(tmp_path, LEAVE_A_FILE + start_another + look) == 0
