"""What columns and forms let people choose from, as the contract's tables have it.

They are functions, so that migrations name them instead of what they return: a new preset needs no migration.
"""

from collections.abc import Callable

from gpu_worker.contract.presets import PresetName, Resolution

Choices = Callable[[], list[tuple[str, str]]]


def preset_choices() -> list[tuple[str, str]]:
    return [(item.value, item.value) for item in PresetName]


def resolution_choices() -> list[tuple[str, str]]:
    return [(item.value, item.value) for item in Resolution]
