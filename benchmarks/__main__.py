"""`python -m benchmarks [NAME …]`: run all benchmarks, or those named; print a table, write bench.json.

`python -m benchmarks gpu` runs the proof on a GPU instead; see `benchmarks.gpu.proof`.

A benchmark is a module beside this one with a function `rows()` that yields one reading of each of its
figures. Each reading is taken in a process of its own, and the median of all is what counts. A module
that takes its own medians says `READINGS = 1`.
"""

import json
import multiprocessing
import os
import pkgutil
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import benchmarks
from benchmarks.reading import read, readings_of

ROOT = Path(__file__).resolve().parents[1]
NOT_BENCHMARKS = {
    "__main__",
    "gpu",
    "performance_tables",
    "reading",
    "row",
    "serving_settings",
    "serving_urls",
    "tracing",
    "slow_volume",
    "web_server",
}


@dataclass(frozen=True)
class Figure:
    """What several readings of one row say."""

    benchmark: str
    name: str
    unit: str
    median: float
    lowest: float
    highest: float
    readings: int


def main(names: Sequence[str]) -> int:
    if list(names) == ["gpu"]:
        from benchmarks.gpu import proof

        return proof.main()
    figures = [figure for name in names or every_benchmark() for figure in measure(name)]
    report = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
    (ROOT / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0


def every_benchmark() -> list[str]:
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if name not in NOT_BENCHMARKS)


def measure(name: str) -> list[Figure]:
    readings: dict[tuple[str, str], list[float]] = defaultdict(list)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh_process:
        for _ in range(fresh_process.apply(readings_of, (name,))):
            for row in fresh_process.apply(read, (name,)):
                readings[row.name, row.unit].append(row.value)
    figures = [
        Figure(name, row, unit, statistics.median(values), min(values), max(values), len(values))
        for (row, unit), values in readings.items()
    ]
    for figure in figures:
        print(
            f"{figure.name:<52} {figure.median:>12,.3f} {figure.unit:<10}"
            f" {figure.lowest:,.3f} – {figure.highest:,.3f}  of {figure.readings}",
            flush=True,
        )
    return figures


def machine() -> dict[str, object]:
    """Enough to know whether two reports may be compared."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": git.stdout.strip(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": gpu(),
        "python": platform.python_version(),
    }


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
