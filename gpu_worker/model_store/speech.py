"""The store of the speech engine Kokoro-82M, in a folder of its own: two files, kept as they come."""

from pathlib import Path

from gpu_worker.model_store import manifest, verify
from gpu_worker.model_store.download import download
from gpu_worker.model_store.errors import ModelStoreError, NotReadyError
from gpu_worker.model_store.hub import Hub
from gpu_worker.model_store.plan import PlannedFile
from gpu_worker.model_store.sources import KOKORO, KOKORO_SHA256


def prepare_speech(folder: Path, hub: Hub) -> None:
    """Download what is missing, each file only if it is the published one, and write the manifest.

    Raises:
        HubError: The hub refuses or stays away.
        ModelStoreError: It holds other files than the published ones.
    """
    if is_whole(folder):
        return
    planned = [
        PlannedFile(KOKORO, listed.revision, listed.path, listed.size, listed.sha256, listed.git_oid)
        for listed in hub.list_files(KOKORO, KOKORO.revision)
    ]
    for file in planned:
        if file.sha256 != KOKORO_SHA256[file.path]:
            raise ModelStoreError(f"{KOKORO.repo} has another {file.path} than was published: don't use it")
    for file in planned:
        target = folder / file.local
        if target.exists() and not file.is_whole(target):
            target.unlink()
        download(file, hub, folder)
    revisions = {file.source.repo: file.revision for file in planned}
    described = manifest.describe(folder, precision="fp32", speakers=(), loras=(), revisions=revisions)
    manifest.write(described, folder)


def is_whole(folder: Path) -> bool:
    try:
        verify.require_ready(folder, full=True)
    except NotReadyError:
        return False
    return True
