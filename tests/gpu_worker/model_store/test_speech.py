"""Preparing the speech engine: its published files and no others."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_worker.model_store import manifest, sources
from gpu_worker.model_store.__main__ import main
from tests.gpu_worker import tiny_hub
from tests.gpu_worker.tiny_hub import TinyHub

FILES = {"kokoro-v1.0.onnx": b"a network", "voices-v1.0.bin": b"voices"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyHub]:
    repo = tmp_path / "hub"
    repo.mkdir()
    for name, content in FILES.items():
        (repo / name).write_bytes(content)
        monkeypatch.setitem(sources.KOKORO_SHA256, name, hashlib.sha256(content).hexdigest())
    with tiny_hub.running({sources.KOKORO.repo: repo}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def run(tmp_path: Path, *arguments: str) -> int:
    return main(["--path", str(tmp_path / "speech"), *arguments])


def test_the_published_files_are_kept_described_and_not_fetched_twice(hub: TinyHub, tmp_path: Path) -> None:
    assert run(tmp_path, "speech") == 0
    assert run(tmp_path, "verify", "--full") == 0
    found = manifest.read(tmp_path / "speech")
    assert found.revisions == {sources.KOKORO.repo: tiny_hub.COMMIT}
    assert {path: file.sha256 for path, file in found.files.items()} == {
        f"kokoro/{name}": digest for name, digest in sources.KOKORO_SHA256.items()
    }
    hub.requests.clear()
    assert run(tmp_path, "speech") == 0
    assert hub.requests == []


def test_a_damaged_file_is_fetched_again(hub: TinyHub, tmp_path: Path) -> None:
    assert run(tmp_path, "speech") == 0
    (tmp_path / "speech" / "kokoro" / "voices-v1.0.bin").write_bytes(b"voiceX")
    assert run(tmp_path, "speech") == 0
    assert run(tmp_path, "verify", "--full") == 0
    assert len(hub.fetched("kokoro-v1.0.onnx")) == 1


def test_a_file_that_was_not_published_is_refused_before_it_is_fetched(
    hub: TinyHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (hub.repos[sources.KOKORO.repo] / "kokoro-v1.0.onnx").write_bytes(b"another")
    assert run(tmp_path, "speech") == 1
    assert "another kokoro-v1.0.onnx than was published" in capsys.readouterr().err
    assert hub.fetched("kokoro-v1.0.onnx") == []
