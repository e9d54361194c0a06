"""Attention kernels from the hub, on the volume beside the models, with a lock file that pins every byte.

The first run resolves each kernel to a commit and to the build for this image's torch, and writes the lock
file for review. Later runs keep to it, and so do runs for other volumes that are given the file. A worker
loads nothing that differs from it.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from gpu_worker.model_store.download import download
from gpu_worker.model_store.errors import ModelStoreError
from gpu_worker.model_store.hub import Hub, ListedFile
from gpu_worker.model_store.manifest import sha256
from gpu_worker.model_store.plan import PlannedFile
from gpu_worker.model_store.sources import KERNELS, KERNELS_FOLDER, Source

log = logging.getLogger(__name__)

LOCK_FILE = "kernels.lock.json"
LOCK_PATH = Path(KERNELS_FOLDER) / LOCK_FILE


@dataclass(frozen=True)
class LockedKernel:
    """One kernel, to the byte.

    Attributes:
        revision: The commit.
        variant: The build in it, by torch, CUDA and processor.
        files: SHA-256 by path in the repository.
    """

    revision: str
    variant: str
    files: Mapping[str, str]


KernelLock = Mapping[str, LockedKernel]
"""The kernels by their repositories."""


def prepare_kernels(store: Path, hub: Hub, given: KernelLock | None = None) -> KernelLock:
    """Bring the kernels to the volume.

    Args:
        store: The model store.
        hub: Where from.
        given: A lock that was reviewed before; without it the volume's own one, if there is one, is kept to.

    Raises:
        HubError: The hub refuses, stays away, or has no such kernel.
        ModelStoreError: What the hub has is not what is locked.
    """
    folder = store / KERNELS_FOLDER
    known = given if given is not None else (read_lock(store / LOCK_PATH) or {})
    prepared = {source.repo: _prepare(source, folder, hub, known.get(source.repo)) for source in KERNELS}
    lock = {repo: kernel for repo, kernel in prepared.items() if kernel is not None}
    write_lock(lock, store / LOCK_PATH)
    return lock


def read_lock(path: Path) -> KernelLock | None:
    """The lock in a file; None where there is no such file.

    Raises:
        ModelStoreError: It is no lock file.
    """
    try:
        data = json.loads(path.read_text())
        return {repo: LockedKernel(**kernel) for repo, kernel in data.items()}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelStoreError(f"{path} is no lock file of kernels: {error}") from error


def write_lock(lock: KernelLock, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    data = {repo: asdict(kernel) for repo, kernel in lock.items()}
    partial.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")
    partial.replace(path)


def find_kernel(store: Path, repo: str) -> Path | None:
    """The folder of a kernel that is on the volume as its lock says; None where it was not prepared.

    Raises:
        ModelStoreError: A file of it is missing, was added, or has other bytes than locked.
    """
    lock = read_lock(store / LOCK_PATH) or {}
    if repo not in lock:
        return None
    folder = store / KERNELS_FOLDER / repo
    _require_locked(folder, lock[repo], repo)
    return folder


def _prepare(source: Source, folder: Path, hub: Hub, locked: LockedKernel | None) -> LockedKernel | None:
    listed = hub.list_files(source, locked.revision if locked else source.revision)
    variant = locked.variant if locked else _variant_for_this_image(listed)
    if variant is None:
        log.warning("%s has no build for this image's torch, and is left out", source.repo)
        return None
    for file in listed:
        if file.path.startswith(f"build/{variant}/"):
            planned = PlannedFile(source, file.revision, file.path, file.size, file.sha256, file.git_oid)
            download(planned, hub, folder)
    kernel = locked or _lock(folder / source.repo, listed[0].revision, variant)
    _require_locked(folder / source.repo, kernel, source.repo)
    return kernel


def _variant_for_this_image(listed: list[ListedFile]) -> str | None:
    # Imported here because it imports torch, which what only prepares models doesn't need.
    from kernels.variants import parse_variant, resolve_variant

    names = {Path(file.path).parts[1] for file in listed if len(Path(file.path).parts) > 2}
    chosen, _ = resolve_variant([parse_variant(name) for name in sorted(names)])
    return chosen.variant_str if chosen else None


def _lock(folder: Path, revision: str, variant: str) -> LockedKernel:
    return LockedKernel(revision, variant, _digests(folder, variant))


def _require_locked(folder: Path, kernel: LockedKernel, repo: str) -> None:
    if _digests(folder, kernel.variant) != kernel.files:
        raise ModelStoreError(
            f"the kernel {repo} in {folder} has other files than its lock says: "
            "remove its folder and run gpu_worker/init_storage.sh"
        )


def _digests(folder: Path, variant: str) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted((folder / "build" / variant).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
