"""The face mesh: MediaPipe's 468 vertices, and around them a ring outside of which the picture is still.

"Right" and "left" are the face's own. Vertices of lips and lids run from corner to corner.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gpu_worker.engines.preview.arrays import Floats, Indices, unit
from gpu_worker.engines.preview.model_files import model_path

NUM_FACE = 468
UPPER_LIP = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
LOWER_LIP = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
UPPER_LIP_OUTER = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]
LOWER_LIP_OUTER = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]
UPPER_LIDS = ([33, 246, 161, 160, 159, 158, 157, 173, 133], [263, 466, 388, 387, 386, 385, 384, 398, 362])
LOWER_LIDS = ([33, 7, 163, 144, 145, 153, 154, 155, 133], [263, 249, 390, 373, 374, 380, 381, 382, 362])
BROWS = [70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285]
NOSE_BRIDGE = [1, 4, 5, 6, 168, 195, 197]
UNDER_NOSE = [2, 97, 98, 164, 326, 327]
CHEEKS = [50, 280, 205, 425]
FOREHEAD, CHIN, NOSE_BASE = 10, 152, 2
UPPER_LIP_MIDDLE, LOWER_LIP_MIDDLE = 13, 14
RIGHT_SIDE, LEFT_SIDE = 234, 454
# fmt: off
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148,
        176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
JAW_SHARE = {152: 1.0, 148: 0.97, 377: 0.97, 176: 0.9, 400: 0.9, 149: 0.8, 378: 0.8, 150: 0.65, 379: 0.65,
             136: 0.48, 365: 0.48, 172: 0.3, 397: 0.3, 58: 0.12, 288: 0.12}
# fmt: on
"""How much of the chin's movement the vertices of the jaw line share."""

RING = list(range(NUM_FACE, NUM_FACE + len(OVAL)))
NUM_VERTICES = NUM_FACE + len(OVAL)
RING_SCALE = 1.3
LID_CLEARANCE = 0.06
"""In eye widths."""


def _triangles() -> Indices:
    """The face's triangles and two for each side of the band between face and ring, [n, 3]."""
    face = np.load(model_path("face_mesh_triangles.npy")).astype(np.int32)
    oval, ring = np.array(OVAL), np.array(RING)
    next_oval, next_ring = np.roll(oval, -1), np.roll(ring, -1)
    inner, outer = np.stack([oval, next_oval, ring], axis=1), np.stack([ring, next_oval, next_ring], axis=1)
    return np.concatenate([face, inner, outer]).astype(np.int32)


def _laplacian(triangles: Indices) -> npt.NDArray[np.float64]:
    """Of the mesh's graph: degree on the diagonal, -1 for each edge, [vertices, vertices]."""
    adjacent = np.zeros((NUM_VERTICES, NUM_VERTICES))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        adjacent[triangles[:, a], triangles[:, b]] = 1
        adjacent[triangles[:, b], triangles[:, a]] = 1
    return np.diag(adjacent.sum(1)) - adjacent


TRIANGLES = _triangles()
LAPLACIAN = _laplacian(TRIANGLES)


def vertices_of(points: Floats) -> Floats:
    """Mesh vertices [504, 3] for landmarks [478, 3]: the face, and behind it the ring."""
    face = _clear_of_lashes(points[:NUM_FACE])
    centre = face[OVAL].mean(0)
    ring = centre + (face[OVAL] - centre) * RING_SCALE
    ring[:, 2] = face[:, 2].max() + np.linalg.norm(face[CHIN] - face[FOREHEAD])
    return np.concatenate([face, ring])


def _clear_of_lashes(face: Floats) -> Floats:
    """The upper lids' vertices a little higher, so that a lid closes as skin, not as smeared lashes."""
    face = face.copy()
    up = unit(face[FOREHEAD] - face[CHIN])
    for lid in UPPER_LIDS:
        face[lid[1:-1]] += up * np.linalg.norm(face[lid[0]] - face[lid[-1]]) * LID_CLEARANCE
    return face


@dataclass(frozen=True)
class Spreading:
    """How the moves of a few vertices spread over the mesh while others keep still.

    Each free vertex moves as the mean of its neighbours does: the smoothest (harmonic) field.

    Attributes:
        moving: Column of each moving vertex.
        weights: Share of each moving vertex's move in every vertex's, [504, moving].
    """

    moving: Mapping[int, int]
    weights: Floats

    @classmethod
    def between(cls, moving: Iterable[int], still: Iterable[int]) -> "Spreading":
        """Solve the discrete Laplace equation once; `moving` wins where a vertex is in both."""
        columns = {vertex: column for column, vertex in enumerate(dict.fromkeys(moving))}
        movers = list(columns)
        free = np.setdiff1d(np.arange(NUM_VERTICES), [*movers, *still])
        of_free = LAPLACIAN[free]
        weights = np.zeros((NUM_VERTICES, len(movers)))
        weights[movers, range(len(movers))] = 1
        weights[free] = np.linalg.solve(of_free[:, free], -of_free[:, movers])
        return cls(columns, weights)

    def apply(self, moves: Mapping[int, Floats]) -> Floats:
        """Displacement [504, 2] of every vertex; a moving vertex without a move keeps still."""
        given = np.zeros((len(self.moving), 2))
        for vertex, move in moves.items():
            given[self.moving[vertex]] = move
        return self.weights @ given


def settings() -> "cv2.TriangleRasterizeSettings":
    """Rasterise triangles of either orientation, their colours blended between the corners."""
    made = cv2.TriangleRasterizeSettings()
    made.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    made.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    return made
