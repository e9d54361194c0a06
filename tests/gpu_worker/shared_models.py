"""A tiny checkpoint, prepared once for all test processes of a run."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from InfiniteTalk.checkpoints.precision import Precision
from tests.gpu_worker.tiny_models import prepare_tiny_models


def tiny_models(factory: pytest.TempPathFactory, precision: Precision = Precision.FP8) -> Path:
    """A store of the caller's own: a copy, since engines write beside their models."""
    prepared = _shared_by_processes(factory) / f"prepared-{precision.value}"
    with _locked(prepared.with_suffix(".lock")):
        if not prepared.exists():
            unfinished = prepared.with_suffix(".new")
            prepare_tiny_models(unfinished, precision)
            unfinished.rename(prepared)
    return shutil.copytree(prepared / "models", factory.mktemp("tiny") / "models")


def _shared_by_processes(factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests; pytest-xdist gives each process one below it."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
