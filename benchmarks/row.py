"""What every benchmark returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        value: In `unit`.
    """

    name: str
    value: float
    unit: str
