"""`python -m benchmarks gpu`: measure on one NVIDIA GPU what the documents compute, in eight parts.

Nothing is downloaded: models of the published sizes get random weights on the GPU. Each part runs in a
process of its own, for seven minutes at most, and writes each figure at once, to docs/gpu/GPU.json and
docs/gpu/GPU.md. Parts that are complete are not run again; `PART=2` runs that one in any case.
"""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gpu import results, table
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.results import Failure, Measurement, PartResult, Proof
from benchmarks.gpu.setting import Setting

PART_SECONDS = 420
ENVIRONMENT = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "HF_HUB_OFFLINE": "1"}
EX_UNAVAILABLE = 69  # sysexits.h: there is no GPU


def main(folder: Path = results.FOLDER) -> int:
    """Run the parts that are wanted; the exit status."""
    if not torch.cuda.is_available():
        print("there is no NVIDIA GPU here; `make test` runs the short form on the CPU", file=sys.stderr)
        return EX_UNAVAILABLE
    name = torch.cuda.get_device_name()
    path = folder / results.file_name(name)
    proof = results.read(path) if path.exists() else Proof(name, {})
    results.write(replace(proof, machine=machine()), path)
    statuses = [_run_in_process(number, path) for number in wanted(os.environ.get("PART", ""), proof)]
    return 1 if any(statuses) else 0


def wanted(part: str, proof: Proof) -> list[int]:
    """The numbers of the parts to run: the one that is named, or all that are not complete."""
    if part:
        return [int(part)]
    return [number for number in PARTS if number not in proof.parts or not proof.parts[number].complete]


def run_parts(numbers: Iterable[int], path: Path, device: torch.device) -> None:
    """Run parts in this process, and write what they measure to the proof in `path`."""
    for number in numbers:
        _Record(number, path).run(device)


class _Record:
    """The result of one part while it comes to be."""

    def __init__(self, number: int, path: Path) -> None:
        self._number = number
        self._path = path
        self._proof = results.read(path)
        self._result = PartResult(PARTS[number].title)
        self._began = time.monotonic()

    def run(self, device: torch.device) -> None:
        PARTS[self._number].run(Setting(device, self._add, self._add_failure))
        self._write(replace(self._result, complete=True))

    def _add(self, measurement: Measurement) -> None:
        self._write(replace(self._result, measurements=(*self._result.measurements, measurement)))

    def _add_failure(self, failure: Failure) -> None:
        self._write(replace(self._result, failures=(*self._result.failures, failure)))

    def _write(self, result: PartResult) -> None:
        self._result = replace(result, seconds=round(time.monotonic() - self._began, 1))
        proof = self._proof.with_part(self._number, self._result)
        results.write(proof, self._path)
        self._path.with_suffix(".md").write_text(table.markdown(proof))


def machine() -> dict[str, str | int]:
    """What a reader needs to compare two proofs."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    facts: dict[str, str | int] = {
        "revision": git.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "cuda": torch.version.cuda or "none",
            "capability": f"{properties.major}.{properties.minor}",
            "gpu_memory_bytes": properties.total_memory,
        }
    return facts


def _run_in_process(number: int, path: Path) -> int:
    """Run one part where it can take nothing from the others; its exit status."""
    print(f"{number}. {PARTS[number].title}", flush=True)
    command = [sys.executable, "-m", "benchmarks.gpu.proof", str(number), str(path)]
    try:
        return subprocess.run(
            command, env={**os.environ, **ENVIRONMENT}, timeout=PART_SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"part {number} was ended after {PART_SECONDS} s; it is run again next time", file=sys.stderr)
        return 1


if __name__ == "__main__":
    run_parts([int(sys.argv[1])], Path(sys.argv[2]), torch.device("cuda"))
