"""Which face of the picture is which speaker."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from gpu_worker.contract.spec import SpeakerBox
from gpu_worker.engines.base import RenderError
from gpu_worker.engines.preview.arrays import Floats
from gpu_worker.engines.preview.face import Face

MAX_YAW = 37.0
"""Degrees that a speaker may be turned away: beyond, a mouth that opens looks wrong."""


def cast(
    faces: Sequence[Face], boxes: Sequence[SpeakerBox], num_speakers: int, size: tuple[int, int]
) -> tuple[Face, ...]:
    """One face for each speaker, in the speakers' order.

    With a box for each speaker, the faces that lie in the boxes or least far from them, the larger
    ones first; without, the largest faces from left to right.

    Args:
        faces: Largest first, as `FaceFinder.find` returns them.
        boxes: One for each speaker, or none.
        num_speakers: How many faces are wanted.
        size: Width and height of the picture in pixels.

    Raises:
        RenderError: `face_not_found`: fewer faces than speakers are seen from the front.
    """
    found, faces = len(faces), [face for face in faces if face.yaw <= MAX_YAW]
    if len(faces) < num_speakers:
        raise RenderError("face_not_found", _too_few(found, found - len(faces), num_speakers))
    if len(boxes) != num_speakers:
        return tuple(sorted(faces[:num_speakers], key=lambda face: face.centre[0]))

    def cost(chosen: tuple[Face, ...]) -> tuple[float, float]:
        distances = (_distance(face.centre, box, size) for face, box in zip(chosen, boxes, strict=True))
        return sum(distances), -sum(face.area for face in chosen)

    return min(permutations(faces, num_speakers), key=cost)


def follow(faces: Sequence[Face], earlier: Sequence[Face]) -> tuple[Face, ...] | None:
    """The faces of another moment that lie nearest to `earlier`, in its order; None where one is missing."""
    if len(faces) < len(earlier):
        return None

    def cost(chosen: tuple[Face, ...]) -> float:
        pairs = zip(chosen, earlier, strict=True)
        return sum(float(np.linalg.norm(face.centre - before.centre)) for face, before in pairs)

    return min(permutations(faces, len(earlier)), key=cost)


def _distance(point: Floats, box: SpeakerBox, size: tuple[int, int]) -> float:
    """Pixels from a point to a box; 0 inside."""
    low = np.array([box.x, box.y]) * size
    high = low + np.array([box.width, box.height]) * size
    return float(np.linalg.norm(np.maximum(0, np.maximum(low - point, point - high))))


def _too_few(found: int, aside: int, wanted: int) -> str:
    seen = {0: "No face was", 1: "One face was"}.get(found, f"{found} faces were")
    turned = f", {aside} of them seen from the side" if aside else ""
    return (
        f"{seen} found in the picture{turned}; {wanted} must be seen from the front and not too small. "
        "Choose a picture in which each speaker looks towards the camera."
    )
