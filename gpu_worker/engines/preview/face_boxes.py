"""The faces of a picture, for whoever wants to know before a render: 0.1 s on one core, without torch."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from gpu_worker.contract.framing import Box
from gpu_worker.engines.preview.casting import MAX_YAW
from gpu_worker.engines.preview.face import FaceFinder


@dataclass(frozen=True)
class FoundFace:
    """A face in a picture.

    Attributes:
        box: Around its landmarks, from the forehead to the chin.
        speaks: Whether it is seen enough from the front to be a speaker of a preview.
    """

    box: Box
    speaks: bool


def find_faces(picture: Image.Image, finder: FaceFinder | None = None) -> tuple[FoundFace, ...]:
    """The faces of an upright RGB picture, largest first.

    Args:
        picture: Of any size.
        finder: With its networks loaded; None: loads them.

    Raises:
        RenderError: `model_unavailable`: a file of the networks is missing or damaged.
    """
    width, height = picture.size
    found = []
    for face in (finder or FaceFinder()).find(np.asarray(picture.convert("RGB")), background=False):
        left, top, right, bottom = face.box
        box = Box(left / width, top / height, (right - left) / width, (bottom - top) / height)
        found.append(FoundFace(box, face.yaw <= MAX_YAW))
    return tuple(found)
