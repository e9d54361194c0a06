"""Reading and writing files of tensors: `.safetensors`, and `.pth` without running anything that is in them.

Both are mapped into memory, so that a tensor costs memory only while it is looked at.
"""

import mmap
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from InfiniteTalk.checkpoints.git_lfs import is_pointer

_ZIP_START = b"PK\x03\x04"


class WeightFileError(Exception):
    """A file of weights that cannot be used; says which and why."""


class NotAFileError(WeightFileError):
    """Nothing there, or a folder where a file is meant."""


class BrokenFileError(WeightFileError):
    """Cut short or not what its name says."""


class MemoryMapRefusedError(WeightFileError):
    """The filesystem does not map files into memory, so that large weights cannot be read from it."""


class WeightFile(Protocol):
    """An open file of tensors."""

    def names(self) -> list[str]:
        """The names of all tensors."""

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of one tensor, without reading it."""

    def tensor(self, key: str) -> torch.Tensor:
        """One tensor on the CPU, backed by the file: valid while the file is open."""


@contextmanager
def open_weights(path: Path) -> Iterator[WeightFile]:
    """Opens a `.safetensors` or `.pth` file.

    Raises:
        NotAFileError: There is no such file, or it is a folder.
        BrokenFileError: The file is cut short, or no such file at all.
        MemoryMapRefusedError: The filesystem refuses to map the file.
    """
    _require_whole_file(path)
    if path.suffix == ".safetensors":
        with _open_safetensors(path) as file:
            yield file
    else:
        yield _StateDict(_load_pickle(path))


def require_whole(path: Path) -> None:
    """Checks, without reading tensors, that a file of weights is there to its end.

    Args:
        path: The file, or a folder: then all files of weights below it.

    Raises:
        WeightFileError: As `open_weights`.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("[!.]*") if file.suffix in (".pth", ".safetensors"))
    for file in files:
        _require_whole_file(file)
        if file.suffix == ".safetensors":
            with _open_safetensors(file):
                pass


def save_weights(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Writes a safetensors file, which is there whole or not at all, whenever the process is killed.

    Raises:
        OSError: The disk is full, or can't be written to for another reason.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        try:
            # "format" is what transformers and diffusers look for.
            save_file(dict(tensors), partial, metadata={"format": "pt"})
        except SafetensorError as error:
            raise _system_error(error, path) from error
        # safetensors makes files that only their owner may read.
        partial.chmod(0o644)


def _system_error(error: SafetensorError, path: Path) -> Exception:
    """What the system said, which safetensors passes on in words only; or else `error` itself."""
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path)) if number else error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, which takes its place at the end, on disk by then."""
    partial = path.with_name(f".{path.name}.partial")
    yield partial
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


class _SafetensorsFile:
    def __init__(self, handle: safe_open) -> None:
        self._handle = handle

    def names(self) -> list[str]:
        return list(self._handle.keys())

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._handle.get_slice(key).get_shape())

    def tensor(self, key: str) -> torch.Tensor:
        return self._handle.get_tensor(key)


class _StateDict:
    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self._tensors = tensors

    def names(self) -> list[str]:
        return list(self._tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._tensors[key].shape)

    def tensor(self, key: str) -> torch.Tensor:
        return self._tensors[key]


def _require_whole_file(path: Path) -> None:
    _require_mappable_file(path)
    if is_pointer(path):
        raise BrokenFileError(f"{path} is a Git LFS pointer; get the file itself by `git lfs pull`")
    with path.open("rb") as file:
        if file.read(len(_ZIP_START)) == _ZIP_START and not zipfile.is_zipfile(file):
            raise BrokenFileError(f"{path} is cut short; download it again")


def _require_mappable_file(path: Path) -> None:
    if path.is_dir():
        raise NotAFileError(f"{path} is a folder; a file of weights is meant")
    if not path.is_file():
        raise NotAFileError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise BrokenFileError(f"{path} is empty")
    with path.open("rb") as file:
        try:
            mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ).close()
        except OSError as error:
            raise MemoryMapRefusedError(
                f"the filesystem of {path} refuses to map files into memory ({error.strerror}); "
                "put the weights on a local disk or another kind of volume"
            ) from error


@contextmanager
def _open_safetensors(path: Path) -> Iterator[WeightFile]:
    try:
        handle = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise BrokenFileError(f"{path} is cut short or no safetensors file: {error}") from error
    with handle:
        yield _SafetensorsFile(handle)


def _load_pickle(path: Path) -> dict[str, torch.Tensor]:
    try:
        # Only the zip format of torch can be mapped; the format before it has to be read whole.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (RuntimeError, EOFError, UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise BrokenFileError(f"{path} is cut short or holds more than tensors: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BrokenFileError(f"{path} is not a plain state dict of tensors")
    return state
