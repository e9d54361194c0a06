"""Checking a prepared store: quickly, without the network, and with a sentence for each fault."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_worker.model_store import convert, manifest, verify
from gpu_worker.model_store.__main__ import main
from tests.gpu_worker import tiny_hub
from tests.gpu_worker.tiny_hub import TinyHub
from tests.gpu_worker.tiny_models import tiny_repos

ROOT = Path(__file__).parents[3]
VAE = "Wan2.1-I2V-14B-480P/vae/diffusion_pytorch_model.safetensors"
T5_CONFIG = "Wan2.1-I2V-14B-480P/text_encoder/config.json"
TRANSFORMER_CONFIG = "Wan2.1-I2V-14B-480P/transformer/config.json"
TOKENIZER = "Wan2.1-I2V-14B-480P/tokenizer/tokenizer.json"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyHub]:
    with tiny_hub.running(tiny_repos(tmp_path_factory.mktemp("hub"))) as hub:
        yield hub


@pytest.fixture(scope="module")
def store(hub: TinyHub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all tests here; each leaves it whole, and the last line of each is that it is."""
    store = tmp_path_factory.mktemp("store") / "models"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert main(["--path", str(store), "convert"]) == 0
    return store


@pytest.fixture(autouse=True)
def _whole_afterwards(store: Path, hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    hub.requests.clear()
    yield
    assert main(["--path", str(store), "repair"]) == 0
    assert main(["--path", str(store), "verify", "--full"]) == 0


def flip_a_byte(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has another size"),
        (lambda path: flip_a_byte(path, 100), "has other bytes"),
    ],
)
def test_a_damaged_file_is_named(
    store: Path, damage: object, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(store / VAE)  # type: ignore[operator]
    assert main(["--path", str(store), "verify"]) == 78
    error = capsys.readouterr().err
    assert f"{VAE} {sentence}" in error
    assert "repair" in error


def test_of_large_files_samples_are_compared_and_on_demand_every_byte(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "LARGE_BYTES", 10_000)
    monkeypatch.setattr(manifest, "SAMPLE_BYTES", 16)
    known = manifest.read(store)
    described = manifest.describe(
        store,
        precision=known.precision,
        speakers=known.speakers,
        loras=known.loras,
        revisions=known.revisions,
    )
    flip_a_byte(store / VAE, 100)
    assert list(verify.find_damage(store, described)) == []
    assert list(verify.find_damage(store, described, full=True)) == [VAE]
    flip_a_byte(store / VAE, 0)
    assert list(verify.find_damage(store, described)) == [VAE]


@pytest.mark.parametrize(
    ("damaged", "fetched"),
    [
        (VAE, {"Wan2.1_VAE.pth"}),
        (T5_CONFIG, {"models_t5_umt5-xxl-enc-bf16.pth"}),
        (TRANSFORMER_CONFIG, set()),
        (TOKENIZER, set()),
        ("InfiniteTalk/lora/lightx2v.safetensors", {"wan2.1_i2v_lora_rank64_lightx2v_4step.safetensors"}),
    ],
)
def test_repair_makes_again_what_is_damaged_and_fetches_no_more_than_that_needs(
    store: Path, hub: TinyHub, damaged: str, fetched: set[str]
) -> None:
    flip_a_byte(store / damaged, 5)
    assert main(["--path", str(store), "repair"]) == 0
    assert main(["--path", str(store), "verify", "--full"]) == 0
    weights = {path.rsplit("/", 1)[1] for path, _ in hub.requests if path.endswith((".safetensors", ".pth"))}
    assert weights == fetched


def test_a_store_that_was_begun_but_not_finished_is_not_ready(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / manifest.READY).unlink()
    assert main(["--path", str(store), "verify"]) == 78
    assert "run gpu_worker/init_storage.sh" in capsys.readouterr().err
    assert not convert.covers(store, convert.Selection())


def test_startup_without_models_ends_for_good_with_the_command_that_prepares_them(tmp_path: Path) -> None:
    ended = start(tmp_path)
    assert ended.returncode == 78
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith(f"error: no models are prepared in {tmp_path}: run gpu_worker/init_storage.sh")


def test_startup_verifies_and_starts_the_worker(store: Path) -> None:
    ended = start(store, "--help")
    assert ended.returncode == 0
    assert "is whole" in ended.stdout
    assert "Render jobs of one queue" in ended.stdout


@pytest.mark.parametrize(("free", "code"), [("4000\n3000", 78), ("4000\n45000", 0)])
def test_startup_says_when_no_gpu_has_enough_memory_left(
    store: Path, tmp_path: Path, free: str, code: int
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\necho '{free}'\n")
    driver.chmod(0o755)
    ended = start(store, "--help", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert ended.returncode == code
    assert ("only 4.2 GB of GPU memory are free" in ended.stderr) == (code == 78)


def start(store: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What startup.sh does, with the environment that it gets in a container."""
    return subprocess.run(
        [ROOT / "gpu_worker" / "startup.sh", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable, "MODEL_STORAGE_PATH": str(store)}
        | environment,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
