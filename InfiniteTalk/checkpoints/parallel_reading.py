"""Reads a `.safetensors` file with many large requests at once, as network volumes need it.

A mapped file is read page by page, each request waiting for the one before: on a volume that answers
within milliseconds that is a small part of what it can give. Here `READERS` threads have a request of
`CHUNK_BYTES` each in flight, ahead of the tensor that is taken next.
"""

import json
import logging
import os
import struct
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from InfiniteTalk.checkpoints.weight_files import BrokenFileError

logger = logging.getLogger(__name__)

CHUNK_BYTES = 8 * 2**20
READERS = 32
AHEAD_BYTES = 2**30
"""So much is read ahead of the tensor that is taken next, however fast it is taken."""
PROGRESS_SECONDS = 10.0
_HEADER_LENGTH = struct.Struct("<Q")
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class _StoredTensor:
    """Where a tensor is in its file; `start` and `size` in bytes."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    size: int


def read_tensors(path: Path, *, pin_memory: bool = False) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields every tensor of a `.safetensors` file, in the order of the file, each in memory of its own.

    Logs how far it is every ten seconds, and at the end the rate.

    Args:
        path: The file.
        pin_memory: Read into page-locked memory, from which copies to a GPU are fastest.

    Raises:
        BrokenFileError: The file is cut short, or no safetensors file.
        OSError: It can't be read.
    """
    with path.open("rb", buffering=0) as file:
        stored = _read_header(file.fileno(), path)
        progress = _Progress(path.name, sum(tensor.size for tensor in stored))
        pool = ThreadPoolExecutor(READERS, thread_name_prefix="weights")
        try:
            with closing(_in_order(pool, file.fileno(), stored, pin_memory)) as tensors:
                for tensor, buffer in tensors:
                    progress.add(tensor.size)
                    yield tensor.name, buffer.view(tensor.dtype).reshape(tensor.shape)
        except EOFError as error:
            raise BrokenFileError(f"{path} is cut short") from error
        finally:
            pool.shutdown(cancel_futures=True)
        progress.done()


def _in_order(
    pool: ThreadPoolExecutor, descriptor: int, stored: list[_StoredTensor], pin_memory: bool
) -> Generator[tuple[_StoredTensor, torch.Tensor], None, None]:
    """Each tensor with its bytes, while the next ones are on their way."""
    begun: deque[tuple[_StoredTensor, torch.Tensor, list[Future[None]]]] = deque()
    ahead = 0
    for tensor in stored:
        while begun and ahead + tensor.size > AHEAD_BYTES:
            ahead -= begun[0][0].size
            yield _finished(*begun.popleft())
        buffer = torch.empty(tensor.size, dtype=torch.uint8, pin_memory=pin_memory)
        begun.append((tensor, buffer, _begin(pool, descriptor, tensor, buffer)))
        ahead += tensor.size
    while begun:
        yield _finished(*begun.popleft())


def _begin(
    pool: ThreadPoolExecutor, descriptor: int, tensor: _StoredTensor, buffer: torch.Tensor
) -> list[Future[None]]:
    memory = memoryview(buffer.numpy().data)
    return [
        pool.submit(_read, descriptor, memory[offset : offset + CHUNK_BYTES], tensor.start + offset)
        for offset in range(0, tensor.size, CHUNK_BYTES)
    ]


def _finished(
    tensor: _StoredTensor, buffer: torch.Tensor, chunks: list[Future[None]]
) -> tuple[_StoredTensor, torch.Tensor]:
    for chunk in chunks:
        chunk.result()
    return tensor, buffer


def _read(descriptor: int, memory: memoryview, start: int) -> None:
    """Fills `memory` from the file; a request may be answered in parts."""
    done = 0
    while done < len(memory):
        count = os.preadv(descriptor, [memory[done:]], start + done)
        if count == 0:
            raise EOFError
        done += count


def _read_header(descriptor: int, path: Path) -> list[_StoredTensor]:
    """What is in a file, by its place there."""
    size = os.fstat(descriptor).st_size
    try:
        (length,) = _HEADER_LENGTH.unpack(os.pread(descriptor, _HEADER_LENGTH.size, 0))
        begin = _HEADER_LENGTH.size + length
        if begin > size:
            raise BrokenFileError(f"{path} is cut short or no safetensors file")
        header = json.loads(os.pread(descriptor, length, _HEADER_LENGTH.size))
        header.pop("__metadata__", None)
        stored = [_stored_tensor(name, entry, begin) for name, entry in header.items()]
    except (struct.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BrokenFileError(f"{path} is cut short or no safetensors file") from error
    if any(tensor.start + tensor.size > size for tensor in stored):
        raise BrokenFileError(f"{path} is cut short")
    return sorted(stored, key=lambda tensor: tensor.start)


def _stored_tensor(name: str, entry: dict[str, Any], begin: int) -> _StoredTensor:
    dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
    first, last = entry["data_offsets"]
    if first < 0 or last - first != prod(shape) * dtype.itemsize:
        raise ValueError(name)
    return _StoredTensor(name, dtype, shape, begin + first, last - first)


class _Progress:
    """How far a file is: a line every ten seconds, and one at its end."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._began = self._logged = time.monotonic()

    def add(self, size: int) -> None:
        self._done += size
        now = time.monotonic()
        if now - self._logged >= PROGRESS_SECONDS:
            self._logged = now
            logger.info(
                "%s: %.1f of %.1f GB, %.2f GB/s", self._name, self._done / 1e9, self._total / 1e9, self._rate
            )

    def done(self) -> None:
        seconds = time.monotonic() - self._began
        logger.info("%s: %.2f GB in %.1f s, %.2f GB/s", self._name, self._total / 1e9, seconds, self._rate)

    @property
    def _rate(self) -> float:
        return self._done / 1e9 / max(time.monotonic() - self._began, 1e-9)
