"""What the reference computed at small sizes: tensors and their metadata, as recorded in `golden/`."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

GOLDEN = Path(__file__).parent / "golden"


@lru_cache
def tensors(name: str) -> dict[str, torch.Tensor]:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@lru_cache
def metadata(name: str) -> dict[str, Any]:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        return {key: _value(text) for key, text in file.metadata().items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def error(ours: torch.Tensor, recorded: torch.Tensor) -> float:
    assert ours.shape == recorded.shape
    return (ours.double() - recorded.double()).abs().max().item()
