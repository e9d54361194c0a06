"""`make chaos` in short: a dozen jobs, a few faults, and every promise checked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nanio")
ROOT = Path(__file__).resolve().parents[2]
SECONDS = 580
"""Far beyond the half minute that it takes: a bound for a machine that is busy with other tests."""


def test_all_promises_are_kept_while_everything_is_disturbed() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "chaos"],
        cwd=ROOT,
        env={**os.environ, "SHORT": "1", "SEED": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-3000:]
    assert "SIGKILL of a process" in run.stdout
