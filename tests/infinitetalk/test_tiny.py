import re
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file

from InfiniteTalk.checkpoints.original_checkpoint import CLIP_FILE, T5_FILE, VAE_FILE
from InfiniteTalk.checkpoints.weight_files import open_weights
from InfiniteTalk.tiny import write_tiny_checkpoint

from .test_real_size import published


def numberless(keys: set[str]) -> set[str]:
    return {re.sub(r"\.\d+\.", ".N.", key) for key in keys}


def names(path: Path) -> set[str]:
    with open_weights(path) as file:
        return set(file.names())


def test_the_tiny_checkpoint_has_the_published_names(tiny_checkpoint: Path) -> None:
    base = tiny_checkpoint / "Wan2.1-I2V-14B-480P"
    transformer = set().union(*(names(path) for path in base.glob("*.safetensors")))
    transformer |= names(tiny_checkpoint / "InfiniteTalk" / "single" / "infinitetalk.safetensors")

    assert numberless(transformer) == numberless(set(published("transformer")))
    assert numberless(names(base / T5_FILE)) == numberless(set(published("text_encoder")))
    assert names(base / VAE_FILE) == set(published("vae"))
    visual = {key for key in published("image_encoder") if not key.startswith("textual.")}
    tiny_visual = {key for key in names(base / CLIP_FILE) if not key.startswith("textual.")}
    assert numberless(tiny_visual) == numberless(visual)


def test_it_takes_a_few_megabytes(tiny_checkpoint: Path) -> None:
    assert sum(path.stat().st_size for path in tiny_checkpoint.rglob("*") if path.is_file()) < 9e6


def test_a_seed_gives_the_same_weights_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path, seed=0)

    for path in tmp_path.rglob("*.safetensors"):
        again, first = load_file(path), load_file(tiny_checkpoint / path.relative_to(tmp_path))
        assert all(again[key].equal(first[key]) for key in first)


def test_it_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "InfiniteTalk.tiny", str(tmp_path / "tiny")]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])

    assert (tmp_path / "tiny" / "Wan2.1-I2V-14B-480P" / "config.json").is_file()
