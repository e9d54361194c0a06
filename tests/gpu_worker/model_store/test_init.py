"""Preparing the models: from a hub that fails, on a volume that is small, stopped anywhere."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from gpu_worker.model_store import convert, download, manifest, plan
from gpu_worker.model_store.__main__ import main
from gpu_worker.model_store.hub import Hub
from gpu_worker.model_store.lock import StorageLock
from gpu_worker.model_store.sources import BASE, Selection
from tests.gpu_worker import tiny_hub
from tests.gpu_worker.playing_control import wait_until
from tests.gpu_worker.tiny_hub import Fault, TinyHub
from tests.gpu_worker.tiny_models import tiny_repos

ROOT = Path(__file__).parents[3]
T5 = "models_t5_umt5-xxl-enc-bf16.pth"
SHARD_2 = "diffusion_pytorch_model-00002-of-00007.safetensors"


@pytest.fixture(scope="module")
def repos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_repos(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def hub(repos: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyHub]:
    monkeypatch.setattr(download, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(plan, "SPARE_BYTES", 0)
    monkeypatch.setattr(StorageLock, "beat_seconds", 0.02)
    monkeypatch.setattr(StorageLock, "lease_seconds", 0.2)
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with tiny_hub.running(repos) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "models"


def run(store: Path, *arguments: str) -> int:
    return main(["--path", str(store), *arguments])


def test_a_store_is_prepared_from_the_hub_and_needs_no_second_time(hub: TinyHub, store: Path) -> None:
    assert run(store, "convert") == 0
    assert run(store, "verify") == 0
    found = manifest.read(store)
    assert found.revisions["MeiGen-AI/InfiniteTalk"] == tiny_hub.COMMIT
    assert "InfiniteTalk/multi/diffusion_pytorch_model.safetensors" in found.files
    assert not (store / ".downloads").exists()
    assert hub.fetched("infinitetalk_single_fp8.safetensors") == []

    hub.requests.clear()
    assert run(store, "convert") == 0
    assert hub.requests == []


def test_a_cut_connection_is_gone_on_from_where_it_was(hub: TinyHub, store: Path) -> None:
    hub.faults[T5] = Fault("cut")
    assert run(store, "convert") == 0
    first, second = hub.fetched(T5)
    assert first is None
    assert second is not None
    assert int(second.removeprefix("bytes=").rstrip("-")) > 0


def test_what_a_killed_run_left_of_a_file_is_gone_on_from(hub: TinyHub, store: Path) -> None:
    (planned,) = [file for file in convert.plan_store(Selection(), store, Hub()).files if file.path == T5]
    part = store / ".downloads" / planned.local.with_name(f"{T5}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes((hub.repos[BASE.repo] / T5).read_bytes()[:1000])
    assert run(store, "convert") == 0
    assert hub.fetched(T5) == ["bytes=1000-"]


def test_wrong_bytes_of_the_right_size_are_fetched_again(hub: TinyHub, store: Path) -> None:
    hub.faults[SHARD_2] = Fault("wrong")
    hub.faults["config.json"] = Fault("wrong")
    assert run(store, "convert") == 0
    assert len(hub.fetched(SHARD_2)) == 2


@pytest.mark.parametrize(("status", "times"), [(503, 2), (429, 1)])
def test_a_busy_hub_is_asked_again(hub: TinyHub, store: Path, status: int, times: int) -> None:
    hub.faults["Wan2.1_VAE.pth"] = Fault(status, times)
    assert run(store, "convert") == 0


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("wrong", "has other bytes than the hub says"),
        (503, "answers 503"),
        (404, "has no such revision or file"),
    ],
)
def test_a_hub_that_keeps_failing_ends_the_run_with_a_sentence(
    hub: TinyHub, store: Path, kind: str | int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults[SHARD_2] = Fault(kind, 100)
    assert run(store, "convert") == 1
    assert sentence in capsys.readouterr().err
    assert not (store / manifest.READY).exists()
    assert len(hub.fetched(SHARD_2)) == (1 if kind == 404 else 3)

    hub.faults.clear()
    hub.requests.clear()
    assert run(store, "convert") == 0
    assert hub.fetched("diffusion_pytorch_model-00001-of-00007.safetensors") == []


def test_a_wrong_token_is_told_before_the_first_byte(
    hub: TinyHub, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.token = "the-right-one"
    monkeypatch.setenv("HF_TOKEN", "a-wrong-one")
    assert run(store, "convert") == 1
    error = capsys.readouterr().err
    assert "check HF_TOKEN" in error
    assert "a-wrong-one" not in error
    assert not any("/resolve/" in path for path, _ in hub.requests)

    monkeypatch.setenv("HF_TOKEN", "the-right-one")
    assert run(store, "plan") == 0


def test_a_hub_that_is_away_is_told(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert run(store, "plan") == 1
    assert "can't be reached" in capsys.readouterr().err


def test_a_volume_that_is_too_small_is_told_before_the_first_byte(
    hub: TinyHub, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    assert run(store, "convert") == 1
    assert "are needed at the peak" in capsys.readouterr().err
    assert not any("/resolve/" in path for path, _ in hub.requests)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a file that is always full")
def test_a_volume_that_is_filled_by_others_meanwhile_is_told_and_gone_on_with(
    hub: TinyHub, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = store / ".downloads" / BASE.folder / f"{T5}.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    assert run(store, "convert") == 1
    assert capsys.readouterr().err.endswith("is full: make room there and run this again\n")
    assert len(hub.fetched(T5)) == 1

    part.unlink()
    assert run(store, "convert") == 0


def test_a_volume_that_nobody_may_write_to_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Path("/proc/models"), "convert") == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_the_plan_says_what_it_would_do_and_does_nothing(
    hub: TinyHub, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, "plan", "--precision", "bf16", "--speakers", "single", "--lora", "") == 0
    output = capsys.readouterr().out
    assert "single/infinitetalk.safetensors" in output
    assert "multi/infinitetalk.safetensors" not in output
    assert "lightx2v" not in output
    assert not store.exists()


def test_downloads_go_as_they_are_converted(
    hub: TinyHub, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []
    fetch = Hub.fetch

    def watch(hub: Hub, repo: str, revision: str, path: str, size: int, target: Path) -> None:
        left.append(sum(1 for file in (store / ".downloads").rglob("*.safetensors") if file.is_file()))
        fetch(hub, repo, revision, path, size, target)

    monkeypatch.setattr(Hub, "fetch", watch)
    assert run(store, "convert") == 0
    assert max(left) == 0


def test_a_run_that_stops_in_any_step_is_gone_on_with(
    hub: TinyHub, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = Hub.fetch
    fetched: list[str] = []

    def stop_at_every_fourth(hub: Hub, repo: str, revision: str, path: str, size: int, target: Path) -> None:
        if path.endswith((".safetensors", ".pth")):
            fetched.append(path)
            if len(fetched) % 4 == 0:
                raise KeyboardInterrupt
        fetch(hub, repo, revision, path, size, target)

    monkeypatch.setattr(Hub, "fetch", stop_at_every_fourth)
    interruptions = 0
    while not (store / manifest.READY).exists():
        try:
            assert run(store, "convert") == 0
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions == 4
    weights = [path for path, _ in hub.requests if path.endswith((".safetensors", ".pth"))]
    assert len(weights) == len(set(weights)) == 14  # Nothing was fetched twice.
    assert run(store, "verify", "--full") == 0


def test_speakers_can_be_added_to_a_store_later(hub: TinyHub, store: Path) -> None:
    assert run(store, "convert", "--speakers", "single") == 0
    hub.requests.clear()
    assert run(store, "convert", "--speakers", "single,multi") == 0
    assert hub.fetched(SHARD_2) == []
    assert manifest.read(store).speakers == ("single", "multi")


def test_distilled_weights_need_their_licence_accepted_and_no_base(
    hub: TinyHub, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, "convert", "--models", "turbo") == 1
    assert "https://huggingface.co/Soul-AILab/SoulX-FlashTalk-14B" in capsys.readouterr().err
    assert hub.requests == []

    assert run(store, "convert", "--models", "turbo", "--accept-licence") == 0
    assert run(store, "verify") == 0
    found = manifest.read(store)
    assert (found.turbo, found.speakers) == (True, ())
    assert found.licences == {"Soul-AILab/SoulX-FlashTalk-14B": tiny_hub.COMMIT}
    fetched = {path for path, _ in hub.requests if "/resolve/" in path and path.endswith(".safetensors")}
    assert not any("Wan2.1-I2V-14B-480P/resolve" in path for path in fetched)
    assert (store / "SoulX-FlashTalk-14B" / "transformer" / "config.json").is_file()


def test_distilled_weights_can_be_added_to_a_store_later(
    hub: TinyHub, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, "convert") == 0
    hub.requests.clear()
    assert run(store, "plan", "--models", "all") == 0
    assert "SoulX-FlashTalk-14B" in capsys.readouterr().out
    assert run(store, "convert", "--models", "all", "--accept-licence") == 0
    assert hub.fetched(T5) == []
    assert manifest.read(store).turbo
    assert run(store, "convert") == 0
    assert manifest.read(store).turbo


def test_a_store_to_which_distilled_weights_are_added_alone_stays_whole_and_can_be_repaired(
    hub: TinyHub, store: Path
) -> None:
    assert run(store, "convert") == 0
    assert run(store, "convert", "--models", "turbo", "--accept-licence") == 0
    found = manifest.read(store)
    assert (found.speakers, found.loras, found.turbo) == (("single", "multi"), ("lightx2v",), True)
    assert "MeiGen-AI/InfiniteTalk" in found.revisions

    damaged = store / BASE.folder / "transformer" / SHARD_2
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1])
    assert run(store, "repair") == 0
    assert damaged.read_bytes() == content
    assert run(store, "verify", "--full") == 0


def test_distilled_weights_that_were_not_finished_are_not_listed(hub: TinyHub, store: Path) -> None:
    assert run(store, "convert") == 0
    hub.faults["diffusion_pytorch_model-00007-of-00007.safetensors"] = Fault(404, 100)
    assert run(store, "convert", "--models", "all", "--accept-licence") == 1
    hub.faults.clear()
    assert run(store, "convert") == 0
    found = manifest.read(store)
    assert (found.turbo, found.licences) == (False, {})

    assert run(store, "convert", "--models", "all", "--accept-licence") == 0
    assert manifest.read(store).turbo


def test_another_precision_in_the_same_folder_is_refused(
    hub: TinyHub, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, "convert") == 0
    assert run(store, "convert", "--precision", "bf16") == 1
    assert "choose another folder" in capsys.readouterr().err


def test_two_at_once_do_not_meet(hub: TinyHub, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.mkdir()
    with StorageLock(store):
        assert run(store, "convert") == 75
    assert "another process is preparing" in capsys.readouterr().err


def test_a_run_that_was_killed_is_gone_on_with_once_its_lock_has_expired(hub: TinyHub, store: Path) -> None:
    hub.faults[SHARD_2] = Fault("hang")
    environment = {"PATH": os.environ["PATH"], "HF_ENDPOINT": hub.url, "MODEL_STORAGE_PATH": str(store)}
    environment["PYTHON"] = sys.executable
    with subprocess.Popen([ROOT / "gpu_worker" / "init_storage.sh"], env=environment) as process:
        wait_until(lambda: hub.fetched(SHARD_2), "the second shard")
        process.kill()
    assert (store / ".storage_lock").exists()
    hub.release.set()

    assert run(store, "convert") == 0
    assert len(hub.fetched("diffusion_pytorch_model-00001-of-00007.safetensors")) == 1
    assert not list(store.glob(".storage_lock*"))
