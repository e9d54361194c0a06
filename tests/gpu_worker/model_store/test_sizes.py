"""What the real models take on a volume."""

from pathlib import Path

import pytest

from gpu_worker.model_store import manifest
from gpu_worker.model_store.__main__ import main
from gpu_worker.model_store.manifest import Manifest, StoredModelFile
from gpu_worker.model_store.plan import Plan, PlannedFile
from gpu_worker.model_store.sources import (
    AUDIO_REPO,
    BASE,
    LORAS,
    SPEECH_ENCODER,
    Precision,
    Selection,
    Source,
)

VOLUME_BYTES = 50 * 10**9

# The hub's files with their sizes, in the order of preparing.
SHARDS = [(BASE, f"diffusion_pytorch_model-0000{i}-of-00007.safetensors", 9_368_502_162) for i in range(1, 8)]
FILES = [
    *SHARDS,
    (BASE, "models_t5_umt5-xxl-enc-bf16.pth", 11_361_820_672),
    (BASE, "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth", 4_772_059_140),
    (BASE, "Wan2.1_VAE.pth", 507_570_124),
    (SPEECH_ENCODER, "model.safetensors", 380_200_000),
    (Source(AUDIO_REPO, "main", (), "InfiniteTalk"), "single/infinitetalk.safetensors", 9_948_672_000),
    (Source(AUDIO_REPO, "main", (), "InfiniteTalk"), "multi/infinitetalk.safetensors", 9_948_672_000),
    (LORAS["lightx2v"], LORAS["lightx2v"].files[0], 738_000_000),
]


def real_plan(precision: Precision) -> Plan:
    files = tuple(PlannedFile(source, "commit", path, size, "", "") for source, path, size in FILES)
    return Plan(Selection(precision), files)


def test_fp8_can_be_prepared_on_a_volume_of_50_gb() -> None:
    assert real_plan("fp8").peak_bytes() < VOLUME_BYTES
    assert 30e9 < real_plan("fp8").prepared_bytes < 40e9


def test_bf16_needs_more_and_the_plan_knows() -> None:
    assert real_plan("bf16").peak_bytes() > VOLUME_BYTES


@pytest.mark.parametrize("done", range(len(FILES)))
def test_a_run_that_goes_on_needs_no_more_than_one_that_begins(done: int) -> None:
    plan = real_plan("fp8")
    used_up = {str(file.local) for file in plan.files[:done]}
    assert plan.peak_bytes(used_up) <= plan.peak_bytes()


def test_a_store_of_the_real_sizes_is_checked_without_reading_any_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {}
    for planned in real_plan("fp8").files:
        path = tmp_path / planned.local
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(planned.prepared_bytes("fp8"))  # A hole takes no room, and is read like a file.
        files[str(planned.local)] = StoredModelFile(path.stat().st_size, "", manifest.sampled(path))
    manifest.write(Manifest("fp8", ("single", "multi"), ("lightx2v",), {}, files), tmp_path)

    monkeypatch.delattr(manifest, "sha256")
    assert main(["--path", str(tmp_path), "verify"]) == 0
    with (tmp_path / planned.local).open("r+b") as file:
        file.write(b"damage")
    assert main(["--path", str(tmp_path), "verify"]) == 78
