"""Where the faces of a picture are, for the framing and for warnings."""

import cv2
from PIL import Image

from gpu_worker.engines.preview.face import FaceFinder
from gpu_worker.engines.preview.face_boxes import find_faces
from jobs.intake.probes.base import Face

MAX_FACES = 10
"""More than any speaker needs; the largest ones."""

cv2.setNumThreads(1)
_finder = FaceFinder()
"""Loaded once in the server, not in each process; a probe has a process of its own."""


def faces_of(picture: Image.Image) -> tuple[Face, ...]:
    """The faces of an upright RGB picture, largest first."""
    found = find_faces(picture, _finder)[:MAX_FACES]
    return tuple(Face(face.box.x, face.box.y, face.box.width, face.box.height, face.speaks) for face in found)
