"""How fast weights come from a disk and from a network volume, mapped and read in parallel.

The file leaves the page cache before each reading (`posix_fadvise`). The network volume is imitated by a FUSE
file system that takes 5 ms for each request (`slow_volume`), where this process may mount one.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks import slow_volume
from benchmarks.row import Row
from InfiniteTalk.checkpoints.parallel_reading import read_tensors
from InfiniteTalk.checkpoints.weight_files import open_weights

READINGS = 3
# As a block of the transformer in 8 bits: a few large matrices, many small vectors.
LARGE, SMALL, BLOCKS = (5120, 5120), (5120,), 8
LARGE_A_BLOCK, SMALL_A_BLOCK = 2, 25


def rows() -> Iterator[Row]:
    """Rates in GB/s, and what reading in parallel gains."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        _write(file)
        yield from _compare("disk", file, file)
        if slow_volume.is_available():
            with slow_volume.mounted(file) as slow:
                yield from _compare("FUSE, 5 ms a request", slow, file)


def _compare(name: str, path: Path, origin: Path) -> Iterator[Row]:
    mapped, parallel = (_rate(read, path, origin) for read in (_read_mapped, _read_in_parallel))
    yield Row(f"{name}, mapped", mapped, "GB/s")
    yield Row(f"{name}, in parallel", parallel, "GB/s")
    yield Row(f"{name}, in parallel to mapped", parallel / mapped, "x")


def _rate(read: Callable[[Path], None], path: Path, origin: Path) -> float:
    for cached in (path, origin):
        _evict(cached)
    began = time.perf_counter()
    read(path)
    return path.stat().st_size / 1e9 / (time.perf_counter() - began)


def _read_mapped(path: Path) -> None:
    with open_weights(path) as file:
        for key in file.names():
            file.tensor(key).clone()


def _read_in_parallel(path: Path) -> None:
    for _ in read_tensors(path):
        pass


def _write(path: Path) -> None:
    tensors = {}
    for block in range(BLOCKS):
        for number in range(LARGE_A_BLOCK):
            tensors[f"blocks.{block}.matrix.{number}"] = torch.randint(256, LARGE, dtype=torch.uint8)
        for number in range(SMALL_A_BLOCK):
            tensors[f"blocks.{block}.vector.{number}"] = torch.zeros(SMALL)
    save_file(tensors, path)


def _evict(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
