"""A face of a picture that can be drawn with any expression."""

import cv2
import numpy as np

from gpu_worker.engines.preview import mesh
from gpu_worker.engines.preview.acting import Expression
from gpu_worker.engines.preview.arrays import Floats, Picture
from gpu_worker.engines.preview.face import Face
from gpu_worker.engines.preview.mouth import MouthInside
from gpu_worker.engines.preview.shapes import BlendShapes, HeadFrame, Rig

DRAWN_HEIGHT, MAX_ZOOM = 450, 2
"""Faces smaller than this many pixels are drawn larger, up to twice, and then reduced."""
HOLE_DEPTH = 1.02
FAR = 5.0
FADES_FROM, FADED_AT = 24.0, 44.0
"""Degrees of yaw: lips that are seen from the side open less, and those of a profile not at all."""


class Puppet:
    """One face, cut out of its picture as a patch with a mesh on it."""

    def __init__(self, picture: Picture, face: Face, rig: Rig) -> None:
        vertices = mesh.vertices_of(face.points)
        low = np.maximum(np.floor(vertices[:, :2].min(0)).astype(int) - 2, 0)
        high = np.minimum(np.ceil(vertices[:, :2].max(0)).astype(int) + 3, picture.shape[1::-1])
        self._box = slice(low[1], high[1]), slice(low[0], high[0])
        self._share = _share_of_movement(face.yaw)
        self._zoom = float(np.clip(DRAWN_HEIGHT / HeadFrame.of(vertices).height, 1, MAX_ZOOM))
        self._patch: Picture = cv2.resize(
            picture[self._box], None, fx=self._zoom, fy=self._zoom, interpolation=cv2.INTER_CUBIC
        )
        self._vertices = _in_patch(vertices, low, self._zoom)
        self._height = HeadFrame.of(self._vertices).height
        self._shapes = BlendShapes.of(self._vertices, rig)
        self._mouth = MouthInside(self._patch, self._vertices, self._shapes)
        self._set_up_rasteriser()

    def draw(self, canvas: Picture, expression: Expression) -> None:
        """Paint the face onto the picture it was cut from."""
        if self._share == 0:
            return
        expression = expression.fainter(self._share)
        drawn, hole = self._warp(expression)
        self._fill_mouth(drawn, hole, expression.opening)
        there = canvas[self._box]
        there[:] = cv2.resize(drawn, there.shape[1::-1], interpolation=cv2.INTER_AREA)

    def _set_up_rasteriser(self) -> None:
        """What stays the same from frame to frame.

        The rasteriser paints into each pixel where in the patch it comes from (as shares of its
        size) and whether it is skin (1) or the mouth's inside (0). The inside is the lips'
        vertices once more, deeper, with triangles that fill the gap between them.
        """
        height, width = self._patch.shape[:2]
        z = self._vertices[:, 2]
        depth = 1 + (z - z.min()) / np.ptp(z) * 0.01
        lips = [*mesh.UPPER_LIP, *mesh.LOWER_LIP]
        self._depth = np.concatenate([depth, np.full(len(lips), HOLE_DEPTH)])
        self._triangles = np.concatenate([mesh.TRIANGLES, _hole_triangles()]).astype(np.int32)
        place = (self._vertices[:, :2] + 0.5) / (width, height)
        skin = np.column_stack([place, np.ones(mesh.NUM_VERTICES)])
        self._colours = np.concatenate([skin, skin[lips] * (1, 1, 0)]).astype(np.float32)
        x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
        self._unmoved = np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)
        self._painted, self._nearest = self._unmoved.copy(), np.empty((height, width), np.float32)
        self._settings = mesh.settings()

    def _warp(self, expression: Expression) -> tuple[Picture, Floats]:
        """The patch with its skin moved, and the map of skin (1) and hole (0)."""
        height, width = self._patch.shape[:2]
        x, y = self._shapes.pose(expression).T
        lips = [*mesh.UPPER_LIP, *mesh.LOWER_LIP]
        x, y = np.concatenate([x, x[lips]]), np.concatenate([y, y[lips]])
        # A camera with a right angle of view: at depth d the patch reaches from -d to d in height.
        depth = self._depth
        seen = [(2 * x + 1 - width) / height * depth, (height - 2 * y - 1) / height * depth, -depth]
        vertices = np.stack(seen, axis=1).astype(np.float32)
        np.copyto(self._painted, self._unmoved)
        self._nearest.fill(FAR)
        cv2.triangleRasterize(
            vertices, self._triangles, self._colours, self._painted, self._nearest,
            np.eye(4, dtype=np.float32), np.pi / 2, 0.1, FAR, self._settings,
        )  # fmt: skip
        from_x, from_y = self._painted[..., 0] * width - 0.5, self._painted[..., 1] * height - 0.5
        drawn = cv2.remap(self._patch, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return drawn, self._painted[..., 2]

    def _fill_mouth(self, drawn: Picture, hole: Floats, opening: float) -> None:
        hole = hole[self._mouth.region]
        skin = cv2.GaussianBlur(hole, (0, 0), max(self._height * 0.003, 0.7))[..., None]
        shade = cv2.GaussianBlur(hole, (0, 0), max(self._height * 0.015, 1))
        mixed = drawn[self._mouth.region] * skin + self._mouth.draw(opening, shade) * (1 - skin)
        drawn[self._mouth.region] = np.clip(mixed, 0, 255).astype(np.uint8)


def _share_of_movement(yaw: float) -> float:
    """1 for a face seen from the front, smoothly down to 0 for a profile."""
    rest = min(max((FADED_AT - yaw) / (FADED_AT - FADES_FROM), 0.0), 1.0)
    return rest * rest * (3 - 2 * rest)


def _in_patch(vertices: Floats, low: Floats, zoom: float) -> Floats:
    """Vertices [n, 3] in the pixels of the patch that was cut at `low` and zoomed."""
    return np.column_stack([(vertices[:, :2] - low + 0.5) * zoom - 0.5, vertices[:, 2] * zoom])


def _hole_triangles() -> Floats:
    """Triangles between the two rows of the lips' second vertices, [20, 3]."""
    count = len(mesh.UPPER_LIP)
    upper = mesh.NUM_VERTICES + np.arange(count)
    lower = upper + count
    first = np.stack([upper[:-1], lower[:-1], upper[1:]], axis=1)
    second = np.stack([lower[:-1], lower[1:], upper[1:]], axis=1)
    return np.concatenate([first, second])
