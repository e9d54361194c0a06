"""What the images are built from."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from launcher.environment import TORCH_FILE
from launcher.lock import IMAGE_PLATFORM, TORCH_CUDA_FILE, WORKER_FILE
from tests.deployment.production import REPOSITORY

DOCKERFILES = ("Dockerfile", "Dockerfile.worker")


def locked(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", file.read_text(), re.MULTILINE))


def test_cuda_comes_with_the_very_torch_that_is_tested() -> None:
    assert locked(TORCH_CUDA_FILE)["torch"] == locked(TORCH_FILE)["torch"]


def test_what_two_locks_of_an_image_name_has_one_version() -> None:
    torch, worker = locked(TORCH_CUDA_FILE), locked(WORKER_FILE)
    both = torch.keys() & worker.keys()

    assert "filelock" in both
    assert {name: torch[name] for name in both} == {name: worker[name] for name in both}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_lock_is_of_the_python_in_the_image(name: str) -> None:
    found = re.search(r"PYTHON_IMAGE=python:(\d+\.\d+)\.\d+-slim", (REPOSITORY / name).read_text())

    assert found
    assert found[1] == IMAGE_PLATFORM[1]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_build_is_sent_all_that_it_copies(name: str) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (REPOSITORY / name).read_text(), re.MULTILINE)
    allowed = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[0] == "!"]

    for source in " ".join(copied).split():
        assert (REPOSITORY / source).exists()
        folders = [str(folder) for folder in Path(source).parents]
        sent = any(fnmatch(path, pattern) for path in (source, *folders) for pattern in allowed)
        assert sent, source
