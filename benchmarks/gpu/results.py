"""What a proof has measured, as JSON: one file for each GPU, in docs/gpu/.

The file holds a `Proof` as it is, with the version of this form beside it: `gpu`, `machine`, and under
`parts` each `PartResult` by its number.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

VERSION = 1
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "gpu"

Value = str | int | float | bool
Conditions = Mapping[str, Value]


@dataclass(frozen=True)
class Measurement:
    """One figure.

    Attributes:
        name: What was measured.
        value: How much.
        unit: `s`, `byte`, `GB/s`, `dB`, `x` (a ratio) or the thing counted.
        conditions: Under which, by name.
    """

    name: str
    value: float
    unit: str
    conditions: Conditions = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """What could not be measured, and why.

    Attributes:
        name: What was tried.
        error: Type and first line of what it met.
        conditions: Under which, by name.
    """

    name: str
    error: str
    conditions: Conditions = field(default_factory=dict)


@dataclass(frozen=True)
class PartResult:
    """What one part has given so far.

    Attributes:
        title: What the part is about.
        complete: Whether it came to its end.
        seconds: How long it took.
    """

    title: str
    complete: bool = False
    seconds: float = 0.0
    measurements: tuple[Measurement, ...] = ()
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Proof:
    """All parts on one GPU.

    Attributes:
        gpu: Its name, as CUDA has it.
        machine: Versions and sizes that a reader needs to compare two proofs.
        parts: By number.
    """

    gpu: str
    machine: Mapping[str, Any]
    parts: Mapping[int, PartResult] = field(default_factory=dict)

    def with_part(self, number: int, result: PartResult) -> "Proof":
        """The proof with one part in another state."""
        return replace(self, parts=dict(sorted({**self.parts, number: result}.items())))

    def find(self, name: str, **conditions: Value) -> float | None:
        """The figure that was measured under these conditions, whatever its others are; None if none was."""
        for measurement in self.measurements():
            if measurement.name == name and conditions.items() <= dict(measurement.conditions).items():
                return measurement.value
        return None

    def measurements(self) -> Iterator[Measurement]:
        for part in self.parts.values():
            yield from part.measurements


def read_proofs(folder: Path = FOLDER) -> dict[str, Proof]:
    """The committed proofs, by the name of the GPU. Columns of other GPUs stay computed."""
    proofs = [read(path) for path in sorted(folder.glob("*.json"))]
    return {proof.gpu: proof for proof in proofs}


def read(path: Path) -> Proof:
    """Read one proof.

    Raises:
        ValueError: The file is of another version.
    """
    content = json.loads(path.read_text())
    if content["version"] != VERSION:
        raise ValueError(f"{path.name} is a proof of version {content['version']}, not {VERSION}")
    parts = {int(number): _part(part) for number, part in content["parts"].items()}
    return Proof(content["gpu"], content["machine"], parts)


def write(proof: Proof, path: Path) -> None:
    """Write a proof so that a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": VERSION, **asdict(proof)}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(path)


def file_name(gpu: str) -> str:
    """`NVIDIA L40S` → `nvidia-l40s.json`."""
    return re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-") + ".json"


def _part(content: dict[str, Any]) -> PartResult:
    measurements = tuple(Measurement(**entry) for entry in content.pop("measurements"))
    failures = tuple(Failure(**entry) for entry in content.pop("failures"))
    return PartResult(measurements=measurements, failures=failures, **content)
