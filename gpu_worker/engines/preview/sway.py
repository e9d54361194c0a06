"""A small turn of a head that looks three-dimensional."""

import cv2
import numpy as np

from gpu_worker.engines.preview import mesh
from gpu_worker.engines.preview.arrays import Floats, Picture
from gpu_worker.engines.preview.face import Face
from gpu_worker.engines.preview.shapes import HeadFrame

STEP = 8
"""Displacements are computed on a grid of this many pixels and interpolated between."""
SEGMENT_HEIGHT = 120
"""Height of the face, in pixels, at which the person is told from the background."""
SOFT_EDGE = 5
"""Pixels, at that size, over which the displacement fades outside of the person."""
REACH = 1.75
"""Of the head's radii: where the displacement has faded to nothing."""


class Sway:
    """Yaw, pitch and roll of one head: each a fixed displacement field times a number."""

    def __init__(self, picture: Picture, face: Face) -> None:
        points = face.points[: mesh.NUM_FACE]
        height = HeadFrame.of(points).height
        up = (points[mesh.FOREHEAD] - points[mesh.CHIN])[:2] / height
        head = points[mesh.OVAL, :2].mean(0) + up * 0.12 * height
        radii = np.array([0.62, 0.78]) * height
        low = np.maximum(head - REACH * radii, 0).astype(int)
        high = np.minimum(head + REACH * radii, picture.shape[1::-1]).astype(int)
        self._box = slice(low[1], high[1]), slice(low[0], high[0])
        self._size = high - low
        x, y = self._grid_lines(low)
        weight = _fade(np.hypot((x - head[0]) / radii[0], (y - head[1]) / radii[1]))
        weight *= self._silhouette(picture, points, height)
        lift = (_depth(points, x, y, height) - 0.15 * height) * weight
        neck = points[mesh.CHIN, :2] - up * 0.25 * height
        roll = np.stack([neck[1] - y, x - neck[0]], axis=-1) * weight[..., None]
        still = np.zeros_like(lift)
        yaw, pitch = np.stack([lift, still], axis=-1), np.stack([still, lift], axis=-1)
        self._grid = np.stack([x - low[0], y - low[1]], axis=-1).astype(np.float32)
        self._fields = np.stack([yaw, pitch, roll]).astype(np.float32)

    def turn(self, canvas: Picture, angles: Floats) -> None:
        """Turn the head by (yaw, pitch, roll) [3]."""
        source = self._grid - np.tensordot(angles.astype(np.float32), self._fields, 1)
        width, height = self._size
        dense = cv2.resize(source, None, fx=STEP, fy=STEP)[STEP : STEP + height, STEP : STEP + width]
        part = canvas[self._box]
        part[:] = cv2.remap(part, dense, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _silhouette(self, picture: Picture, points: Floats, height: float) -> Floats:
        """1 on the head and a little around it, 0 on the background, for each point of the grid.

        So that the background keeps still. Where head and background can't be told apart, the
        landmarks' own oval moves alone.
        """
        shrink = SEGMENT_HEIGHT / height
        offset = np.array([self._box[1].start, self._box[0].start])
        part = cv2.resize(picture[self._box], None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        face = np.round((points[mesh.OVAL, :2] - offset) * shrink).astype(np.int32)
        person = _segment(part, face)
        soft = cv2.dilate(person, np.ones((SOFT_EDGE, SOFT_EDGE), np.uint8))
        soft = cv2.GaussianBlur(soft.astype(np.float32), (0, 0), SOFT_EDGE / 2)
        rows, columns = self._grid_shape()
        inner = cv2.resize(soft, (columns - 2, rows - 2), interpolation=cv2.INTER_AREA)
        return np.pad(inner, 1, mode="edge")

    def _grid_shape(self) -> tuple[int, int]:
        width, height = self._size
        return int(-(-height // STEP) + 2), int(-(-width // STEP) + 2)

    def _grid_lines(self, low: Floats) -> tuple[Floats, Floats]:
        """The x and y of the grid's points in the picture, one step beyond the box on every side."""
        lines = [
            start + (np.arange(-1, -(-length // STEP) + 1) + 0.5) * STEP - 0.5
            for start, length in zip(low, self._size, strict=True)
        ]
        x, y = np.meshgrid(*lines)
        return x, y


def _segment(picture: Picture, face: Floats) -> Picture:
    """The person (1) against the background (0), by GrabCut (Rother et al., 2004) from the face's outline."""
    height, width = picture.shape[:2]
    mask = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    centre, radii = face.mean(0), np.ptp(face, axis=0) * 0.7
    cv2.ellipse(mask, [int(c) for c in centre], [int(r) for r in radii], 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.fillPoly(mask, [face], cv2.GC_FGD)
    mask[0, :] = mask[:, 0] = mask[:, -1] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, mask, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    return ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)


def _fade(distance: Floats) -> Floats:
    """1 within the head's radii, smoothly down to 0 at `REACH`."""
    rest = np.clip(REACH - distance, 0, REACH - 1) / (REACH - 1)
    return rest * rest * (3 - 2 * rest)


def _depth(points: Floats, x: Floats, y: Floats, height: float) -> Floats:
    """How far the head stands out from its sides, in pixels: the landmarks' own depth, fading beyond them."""
    back = points[[mesh.RIGHT_SIDE, mesh.LEFT_SIDE, mesh.FOREHEAD, mesh.CHIN], 2].max()
    total, weights = np.zeros_like(x), np.full_like(x, 0.05)
    for point in points[::3]:
        near = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * (0.07 * height) ** 2))
        total += near * (back - point[2])
        weights += near
    return cv2.GaussianBlur(total / weights, (0, 0), 0.06 * height / STEP)
