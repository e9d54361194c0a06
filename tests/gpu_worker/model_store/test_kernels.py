"""Attention kernels come from the hub once, pinned to the byte by a lock file."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_worker.model_store import download
from gpu_worker.model_store.__main__ import main
from gpu_worker.model_store.errors import ModelStoreError
from gpu_worker.model_store.kernels import LOCK_PATH, find_kernel
from gpu_worker.model_store.sources import SAGE_ATTENTION
from tests.gpu_worker import tiny_hub
from tests.gpu_worker.fake_kernels import RIGHT, VARIANT, kernel_repos
from tests.gpu_worker.tiny_hub import TinyHub

SAGE = SAGE_ATTENTION.repo


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyHub]:
    monkeypatch.setattr(download, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with tiny_hub.running(kernel_repos(tmp_path / "hub")) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def run(store: Path, *arguments: str) -> int:
    return main(["--path", str(store), "kernels", *arguments])


def test_the_first_run_writes_the_commit_and_every_digest_for_review(
    hub: TinyHub, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store) == 0
    lock = json.loads((store / LOCK_PATH).read_text())
    assert lock[SAGE]["revision"] == tiny_hub.COMMIT
    assert lock[SAGE]["variant"] == VARIANT
    assert set(lock[SAGE]["files"]) == {f"build/{VARIANT}/__init__.py", f"build/{VARIANT}/metadata.json"}
    shown = capsys.readouterr().out
    assert all(digest in shown for digest in lock[SAGE]["files"].values())


def test_only_the_build_for_this_torch_is_downloaded(hub: TinyHub, store: Path) -> None:
    assert run(store) == 0
    folder = find_kernel(store, SAGE)
    assert folder is not None
    assert [build.name for build in (folder / "build").iterdir()] == [VARIANT]


def test_a_later_run_keeps_to_the_lock_when_the_hub_has_other_files(
    hub: TinyHub, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store) == 0
    reviewed, other = store / LOCK_PATH, tmp_path / "other"
    other.mkdir()
    assert run(other, "--lock", str(reviewed)) == 0

    (hub.repos[SAGE] / "build" / VARIANT / "__init__.py").write_text(RIGHT + "\nprint('more')\n")
    third = tmp_path / "third"
    third.mkdir()
    assert run(third, "--lock", str(reviewed)) == 1
    assert "other files than its lock says" in capsys.readouterr().err
    assert not (third / LOCK_PATH).exists()


@pytest.mark.parametrize("damage", ["changed", "added", "removed"])
def test_a_kernel_that_differs_from_its_lock_is_not_given_out(hub: TinyHub, store: Path, damage: str) -> None:
    assert run(store) == 0
    folder = find_kernel(store, SAGE)
    assert folder is not None
    build = folder / "build" / VARIANT
    match damage:
        case "changed":
            (build / "__init__.py").write_text(RIGHT + "#")
        case "added":
            (build / "more.py").write_text("")
        case "removed":
            (build / "metadata.json").unlink()
    with pytest.raises(ModelStoreError, match="other files than its lock says"):
        find_kernel(store, SAGE)


def test_a_kernel_without_a_build_for_this_torch_is_left_out(hub: TinyHub, store: Path) -> None:
    shutil.rmtree(hub.repos[SAGE] / "build" / VARIANT)
    assert run(store) == 0
    assert SAGE not in json.loads((store / LOCK_PATH).read_text())
    assert find_kernel(store, SAGE) is None


def test_a_volume_without_kernels_has_none(store: Path) -> None:
    assert find_kernel(store, SAGE) is None


def test_a_lock_that_does_not_exist_or_is_none_is_told(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, "--lock", str(tmp_path / "nothing")) == 1
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "broken").write_text("[]")
    assert run(store, "--lock", str(tmp_path / "broken")) == 1
    assert "no lock file" in capsys.readouterr().err
