"""A proof as a document for people."""

from benchmarks.gpu.results import Conditions, Measurement, PartResult, Proof


def markdown(proof: Proof) -> str:
    """One table for each part."""
    machine = [f"- {name}: {value}" for name, value in proof.machine.items()]
    parts = [line for number, part in proof.parts.items() for line in _part(number, part)]
    return "\n".join([f"# Measured on one {proof.gpu}", "", *machine, *parts]) + "\n"


def _part(number: int, part: PartResult) -> list[str]:
    state = f"{part.seconds:.0f} s" if part.complete else "did not come to its end"
    lines = ["", f"## {number}. {part.title} ({state})", ""]
    lines += ["| what | conditions | value |", "| --- | --- | --- |"]
    lines += [_row(row.name, row.conditions, _value(row)) for row in part.measurements]
    lines += [_row(row.name, row.conditions, f"failed: {row.error}") for row in part.failures]
    return lines


def _row(name: str, conditions: Conditions, value: str) -> str:
    cells = (name, _conditions(conditions), value)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _conditions(conditions: Conditions) -> str:
    return ", ".join(f"{name} {value}" for name, value in conditions.items())


def _value(row: Measurement) -> str:
    if row.unit == "byte":
        return f"{row.value / 1e9:.2f} GB"
    return f"{row.value:,.4g} {row.unit}"
