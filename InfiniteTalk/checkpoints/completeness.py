"""Strictness: weights are exactly those of the model, or an error lists what is wrong."""

from collections.abc import Callable
from typing import Any

import torch

from InfiniteTalk.checkpoints.model_configs import Shapes
from InfiniteTalk.checkpoints.precision import SCALE_SUFFIX


class IncompleteModelError(ValueError):
    """The weights are not those of the model: some lack, are too many, or have another shape."""


def parameter_shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The weights that a model needs; of weights that are one and the same, the first name."""
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def needed_shapes(build: Callable[[], Any]) -> dict[str, tuple[int, ...]]:
    """The weights that a model would need, which is built without any memory for them."""
    with torch.device("meta"):
        return parameter_shapes(build())


def require_complete(title: str, shapes: Shapes, expected: Shapes) -> None:
    """Compares weights with what a model needs.

    Args:
        title: What the weights are, for the error.
        shapes: The weights' shapes; the scales of float8 weights may be among them.
        expected: What the model needs.

    Raises:
        IncompleteModelError: Weights lack, are too many, or have another shape; lists them all.
    """
    shapes = {key: shape for key, shape in shapes.items() if not key.endswith(SCALE_SUFFIX)}
    wrong = {
        "missing": sorted(expected.keys() - shapes.keys()),
        "unknown": sorted(shapes.keys() - expected.keys()),
        "of another shape": sorted(
            f"{key} {shapes[key]} instead of {expected[key]}"
            for key in expected.keys() & shapes.keys()
            if shapes[key] != expected[key]
        ),
    }
    if any(wrong.values()):
        lists = "; ".join(f"{len(keys)} {what}: {', '.join(keys)}" for what, keys in wrong.items() if keys)
        raise IncompleteModelError(f"{title}: {lists}")
