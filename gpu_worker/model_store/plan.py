"""What is to be downloaded, how large it is and how much room it takes, before the first byte."""

import hashlib
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpu_worker.model_store.hub import Hub
from gpu_worker.model_store.sources import FLASHTALK, Precision, Selection, Source

SPARE_BYTES = 10**9
"""Room that is left free beside what is reckoned."""

# The order in which weights are prepared, and how large they are afterwards, as a share of the download:
# an upper bound by precision. The transformer comes in float32, T5 in bfloat16; T5's table of words isn't
# rounded to fp8; only the visual half of CLIP is kept, in float16.
PREPARED_SHARES: tuple[tuple[str, Mapping[Precision, float]], ...] = (
    ("diffusion_pytorch_model", {"fp8": 0.30, "bf16": 0.51}),
    ("models_t5", {"fp8": 0.60, "bf16": 1.0}),
    ("models_clip", {"fp8": 0.30, "bf16": 0.30}),
    ("Wan2.1_VAE", {"fp8": 1.0, "bf16": 1.0}),
    ("model.safetensors", {"fp8": 1.0, "bf16": 1.0}),
    ("infinitetalk.safetensors", {"fp8": 0.30, "bf16": 0.55}),
    ("", {"fp8": 1.0, "bf16": 1.0}),
)
# Its publisher may have stored it in float32 or in bfloat16: the larger share of the two.
FLASHTALK_SHARES: Mapping[Precision, float] = {"fp8": 0.60, "bf16": 1.0}
WEIGHT_SUFFIXES = (".safetensors", ".pth")


@dataclass(frozen=True)
class PlannedFile:
    """One file to get.

    Attributes:
        source: Where from.
        revision: The commit.
        path: Inside the repository.
        size: Bytes, as the hub says.
        sha256: Of the content, of a large file (git LFS).
        git_oid: Git's name of the content, of any other file.
    """

    source: Source
    revision: str
    path: str
    size: int
    sha256: str | None
    git_oid: str

    @property
    def local(self) -> Path:
        """Below the downloads."""
        return Path(self.source.folder) / self.path

    @property
    def holds_weights(self) -> bool:
        """Whether it is converted; what isn't is small."""
        return self.path.endswith(WEIGHT_SUFFIXES)

    def prepared_bytes(self, precision: Precision) -> int:
        """How large it is at most once it is prepared."""
        merged = self.source == FLASHTALK and self.holds_weights
        shares = FLASHTALK_SHARES if merged else PREPARED_SHARES[self._kind][1]
        return int(self.size * shares[precision])

    def is_whole(self, file: Path) -> bool:
        """Whether `file` has the size and the content that the hub says."""
        if file.stat().st_size != self.size:
            return False
        with file.open("rb") as content:
            if self.sha256 is not None:
                return hashlib.file_digest(content, "sha256").hexdigest() == self.sha256
            blob = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
            blob.update(content.read())
            return blob.hexdigest() == self.git_oid

    @property
    def _kind(self) -> int:
        """Its place in `PREPARED_SHARES`."""
        name = Path(self.path).name
        return next(i for i, (start, _) in enumerate(PREPARED_SHARES) if name.startswith(start))


@dataclass(frozen=True)
class Plan:
    """All files of a selection, in the order in which they are needed."""

    selection: Selection
    files: tuple[PlannedFile, ...]

    @property
    def revisions(self) -> dict[str, str]:
        """The commit of each repository."""
        return {file.source.repo: file.revision for file in self.files}

    @property
    def download_bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def prepared_bytes(self) -> int:
        return sum(file.prepared_bytes(self.selection.precision) for file in self.files)

    def peak_bytes(self, used_up: Container[str] = ()) -> int:
        """The most room that preparing takes at any moment.

        A download of weights goes once it is converted, but not before what it becomes is written.

        Args:
            used_up: Downloads that need not be made any more.
        """
        taken = peak = SPARE_BYTES
        for file in self.files:
            if str(file.local) in used_up:
                continue
            prepared = file.prepared_bytes(self.selection.precision)
            peak = max(peak, taken + file.size + prepared)
            taken += prepared if file.holds_weights else file.size + prepared
        return peak


def make_plan(selection: Selection, hub: Hub, pins: Mapping[str, str]) -> Plan:
    """Ask the hub what the selection consists of.

    Args:
        selection: What to prepare.
        hub: Where from.
        pins: Commits to keep to, by repository.

    Raises:
        HubError: The hub refuses, stays away, or lacks a file.
    """
    files = [
        PlannedFile(source, listed.revision, listed.path, listed.size, listed.sha256, listed.git_oid)
        for source in selection.sources
        for listed in hub.list_files(source, pins.get(source.repo, source.revision))
    ]
    return Plan(selection, tuple(sorted(files, key=lambda file: (file.holds_weights, file._kind))))
