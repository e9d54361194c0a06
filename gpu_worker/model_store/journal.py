"""What an interrupted run leaves to the next, and a finished store to its repair."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

JOURNAL = ".storage_journal.json"


@dataclass
class Journal:
    """How far a store is.

    Attributes:
        folder: The store.
        revisions: The commit of each repository that the store keeps to.
        made_from: For each file or folder that was made, by its path in the store, the downloaded
            weights that it was made from.
    """

    folder: Path
    revisions: dict[str, str] = field(default_factory=dict)
    made_from: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> "Journal":
        path = folder / JOURNAL
        return cls(folder, **json.loads(path.read_text())) if path.exists() else cls(folder)

    def write(self) -> None:
        partial = self.folder / f"{JOURNAL}.partial"
        partial.write_text(json.dumps({"revisions": self.revisions, "made_from": self.made_from}, indent=2))
        partial.replace(self.folder / JOURNAL)

    @property
    def used_up(self) -> set[str]:
        """The downloads that are not needed again, because what was made from them is there."""
        made = (sources for output, sources in self.made_from.items() if (self.folder / output).exists())
        return {source for sources in made for source in sources}

    def outputs_behind(self, files: Iterable[str]) -> set[str]:
        """What must be made again so that these files of the store are."""
        return {output for file in files for output in self._outputs_behind(file)}

    def _outputs_behind(self, file: str) -> set[str]:
        for output in self.made_from:
            if file == output or output in map(str, Path(file).parents):
                return {output}
        # A configuration: it comes with what lies beside it, if possible with what needs no download.
        beside = {output for output in self.made_from if Path(output).parent == Path(file).parent}
        return {output for output in beside if not self.made_from[output]} or beside
