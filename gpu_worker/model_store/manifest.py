"""What a prepared store consists of: every file with its size and digest, written when all are there."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpu_worker.model_store.errors import NotReadyError
from gpu_worker.model_store.sources import KERNELS_FOLDER

MANIFEST = "manifest.json"
READY = ".storage_ready"
LARGE_BYTES = 8 * 2**20
SAMPLES, SAMPLE_BYTES = 16, 64 * 2**10


@dataclass(frozen=True)
class StoredModelFile:
    """One file of the store.

    Attributes:
        size: In bytes.
        sha256: Of all of it.
        sampled: SHA-256 of pieces spread over it, quick to compare; of a small file that of all of it.
    """

    size: int
    sha256: str
    sampled: str


@dataclass(frozen=True)
class Manifest:
    """A prepared store.

    Attributes:
        precision: How the large matrices are stored.
        speakers: For how many people there are audio layers.
        loras: Which LoRAs are there.
        turbo: Whether the distilled weights are there.
        licences: The repositories whose licence was accepted, with the commit that it was accepted for.
        revisions: The commit of each repository that it was made from.
        files: By their paths in the store.
    """

    precision: str
    speakers: tuple[str, ...]
    loras: tuple[str, ...]
    revisions: Mapping[str, str]
    files: Mapping[str, StoredModelFile]
    turbo: bool = False
    licences: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """One value that stands for every byte of every file."""
        lines = "".join(f"{file.sha256} {path}\n" for path, file in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files.values())


def describe(
    folder: Path,
    *,
    precision: str,
    speakers: tuple[str, ...],
    loras: tuple[str, ...],
    revisions: Mapping[str, str],
    turbo: bool = False,
    licences: Mapping[str, str] | None = None,
) -> Manifest:
    """Hash every file of a store."""
    files = {
        path.relative_to(folder).as_posix(): StoredModelFile(path.stat().st_size, sha256(path), sampled(path))
        for path in model_files(folder)
    }
    return Manifest(precision, speakers, loras, revisions, files, turbo, licences or {})


def model_files(folder: Path) -> Iterator[Path]:
    """The files of a store, without what preparing leaves beside them and the kernels, which have a lock."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        beside = parts[0] == KERNELS_FOLDER or any(part.startswith(".") for part in parts)
        if path.is_file() and not beside and path.name != MANIFEST:
            yield path


def write(manifest: Manifest, folder: Path) -> None:
    """Write the manifest and, last of all, the mark that the store is ready."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"
    _replace(folder / MANIFEST, text)
    _replace(folder / READY, hashlib.sha256(text.encode()).hexdigest() + "\n")


def read(folder: Path) -> Manifest:
    """The manifest of a store that is ready.

    Raises:
        NotReadyError: It isn't, or not any more.
    """
    try:
        mark, text = (folder / READY).read_text(), (folder / MANIFEST).read_text()
    except FileNotFoundError:
        raise NotReadyError(
            f"no models are prepared in {folder}: run gpu_worker/init_storage.sh once in a pod with it"
        ) from None
    if hashlib.sha256(text.encode()).hexdigest() != mark.strip():
        raise NotReadyError(
            f"the manifest in {folder} was changed: run python -m gpu_worker.model_store repair"
        )
    return _from_json(json.loads(text))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sampled(path: Path) -> str:
    """A digest that reads at most 1 MB of a large file: pieces from its start to its end."""
    size = path.stat().st_size
    if size <= LARGE_BYTES:
        return sha256(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for number in range(SAMPLES):
            file.seek(number * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _from_json(data: dict[str, Any]) -> Manifest:
    return Manifest(
        precision=data["precision"],
        speakers=tuple(data["speakers"]),
        loras=tuple(data["loras"]),
        revisions=data["revisions"],
        files={path: StoredModelFile(**file) for path, file in data["files"].items()},
        turbo=data.get("turbo", False),
        licences=data.get("licences", {}),
    )


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
