"""Is the store what its manifest says? In a second or two, since every cold start waits for the answer."""

import mmap
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpu_worker.model_store import manifest
from gpu_worker.model_store.errors import NotReadyError
from gpu_worker.model_store.manifest import Manifest, StoredModelFile

MIN_GPU_BYTES = 12 * 10**9
READERS = 8  # A network volume answers several reads at once.


def require_ready(folder: Path, *, full: bool = False) -> Manifest:
    """The manifest of a store that is whole.

    Args:
        folder: The store.
        full: Read every byte instead of samples of the large files.

    Raises:
        NotReadyError: It isn't prepared, or something of it is missing or damaged.
    """
    found = manifest.read(folder)
    damaged = find_damage(folder, found, full=full)
    if damaged:
        faults = "; ".join(damaged.values())
        raise NotReadyError(f"in {folder} {faults}: run python -m gpu_worker.model_store repair")
    return found


def find_damage(folder: Path, found: Manifest, *, full: bool = False) -> dict[str, str]:
    """What is wrong, by file."""
    with ThreadPoolExecutor(READERS) as readers:
        faults = readers.map(lambda item: _fault(folder / item[0], item[1], full), found.files.items())
        return {path: f"{path} {fault}" for path, fault in zip(found.files, faults, strict=True) if fault}


def require_gpu_memory() -> None:
    """Raise NotReadyError when a GPU is there, but too little of its memory is free."""
    free = max(_free_gpu_bytes(), default=None)
    if free is not None and free < MIN_GPU_BYTES:
        raise NotReadyError(
            f"only {free / 1e9:.1f} GB of GPU memory are free, {MIN_GPU_BYTES / 1e9:.0f} GB are needed: "
            "is another process using the GPU?"
        )


def _fault(path: Path, expected: StoredModelFile, full: bool) -> str | None:
    try:
        if path.stat().st_size != expected.size:
            return "has another size than it was prepared with"
        actual = manifest.sha256(path) if full else manifest.sampled(path)
        if actual != (expected.sha256 if full else expected.sampled):
            return "has other bytes than it was prepared with"
        with path.open("rb") as file, mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ):
            return None
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read ({error.strerror})"


def _free_gpu_bytes() -> Iterator[int]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return
    answer = subprocess.run(
        [program, "--query-gpu=memory.free", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in answer.stdout.split():
        yield int(line) * 2**20
