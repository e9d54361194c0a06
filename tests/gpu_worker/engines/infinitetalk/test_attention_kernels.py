"""A kernel is used where it is there, whole and right; otherwise torch's own attention is. No network."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gpu_worker.engines.infinitetalk.attention import CANDIDATES, choose_backend
from gpu_worker.model_store.kernels import LOCK_PATH, LockedKernel, write_lock
from gpu_worker.model_store.manifest import sha256
from gpu_worker.model_store.sources import FLASH_ATTENTION_3, KERNELS_FOLDER, SAGE_ATTENTION
from tests.gpu_worker.fake_kernels import FLASH, RIGHT, VARIANT, write_kernel


def volume(folder: Path, sage: str = RIGHT) -> Path:
    """A volume with both kernels and their lock."""
    lock = {}
    for source, code in ((SAGE_ATTENTION, sage), (FLASH_ATTENTION_3, FLASH)):
        kernel = write_kernel(folder / KERNELS_FOLDER / source.repo, source.repo.split("/")[1], code)
        files = {
            path.relative_to(kernel).as_posix(): sha256(path)
            for path in (kernel / "build" / VARIANT).iterdir()
        }
        lock[source.repo] = LockedKernel("0" * 40, VARIANT, files)
    write_lock(lock, folder / LOCK_PATH)
    return folder


class Chooser:
    """A process in which kernels are chosen and no socket can be opened."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, store: Path, *backends: str, offline: bool = True) -> tuple[str, str]:
        """What is chosen, and the log."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps({"store": str(store), "backends": backends, "offline": offline}),
            file=self._process.stdin,
            flush=True,
        )
        answer = json.loads(self._process.stdout.readline())
        return answer["chosen"], answer["log"]


@pytest.fixture(scope="module")
def choose() -> Iterator[Chooser]:
    command = [sys.executable, "-m", "tests.gpu_worker.choosing_attention"]
    with subprocess.Popen(
        command,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Chooser(process)
        assert process.stdin is not None
        process.stdin.close()


def test_a_kernel_from_the_volume_is_used_when_it_agrees(choose: Chooser, tmp_path: Path) -> None:
    assert choose(volume(tmp_path), "sage_hub", "_flash_3_hub")[0] == "sage_hub"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ("(attention(*heads_first) * 1.3)", "off by 0.3"),
        ("(attention(*heads_first) * 0)", "off by 1"),
        ("(attention(*heads_first) * float('nan'))", "off by nan"),
        ("(_ for _ in ()).throw(RuntimeError('no kernel image'))", "no kernel image"),
    ],
)
def test_a_kernel_that_computes_something_else_or_raises_is_left_out(
    choose: Chooser, tmp_path: Path, changed: str, reason: str
) -> None:
    chosen, log = choose(
        volume(tmp_path, RIGHT.replace("attention(*heads_first)", changed)), "sage_hub", "_flash_3_hub"
    )
    assert chosen == "native"
    assert "attention sage_hub is not used: " in log
    assert reason in log
    assert "attention _flash_3_hub is not used" in log


def test_a_kernel_whose_files_were_changed_is_never_imported(choose: Chooser, tmp_path: Path) -> None:
    store = volume(tmp_path)
    code = store / KERNELS_FOLDER / SAGE_ATTENTION.repo / "build" / VARIANT / "__init__.py"
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + RIGHT)
    chosen, log = choose(store, "sage_hub")
    assert chosen == "native"
    assert "other files than its lock says" in log
    assert not (tmp_path / "ran").exists()


def test_loading_a_kernel_leaves_it_as_it_was_locked(choose: Chooser, tmp_path: Path) -> None:
    store = volume(tmp_path)
    assert [choose(store, "sage_hub")[0] for _ in range(2)] == ["sage_hub", "sage_hub"]


def test_kernels_that_are_neither_on_the_volume_nor_installed_are_left_out(
    choose: Chooser, tmp_path: Path
) -> None:
    chosen, log = choose(tmp_path, *(candidate.backend for candidate in CANDIDATES))
    assert chosen == "native"
    assert "it is not on the volume" in log
    assert "sageattention>=2.1.1" in log


def test_the_hub_is_not_asked_where_it_could_be(choose: Chooser, tmp_path: Path) -> None:
    chosen, log = choose(volume(tmp_path), "sage_hub", offline=False)
    assert chosen == "native"
    assert "HF_HUB_OFFLINE=1" in log


def test_a_cpu_has_no_choice(tmp_path: Path) -> None:
    assert choose_backend(torch.device("cpu"), tmp_path) == "native"


@pytest.mark.parametrize(
    ("capability", "backends"),
    [
        ((7, 5), []),
        ((8, 0), ["sage_hub", "sage"]),
        ((8, 9), ["sage_hub", "sage"]),
        ((9, 0), ["sage_hub", "sage", "_flash_3_hub", "_flash_3"]),
        ((12, 0), ["sage_hub", "sage"]),
    ],
)
def test_each_generation_of_gpus_has_the_kernels_made_for_it(
    capability: tuple[int, int], backends: list[str]
) -> None:
    assert [candidate.backend for candidate in CANDIDATES if capability in candidate.capabilities] == backends
