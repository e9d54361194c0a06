"""The word PREVIEW over every frame, so that no cut-out of a face passes for a recording."""

import cv2
import numpy as np

from gpu_worker.engines.preview import mesh
from gpu_worker.engines.preview.arrays import Floats, Picture
from gpu_worker.engines.preview.face import Face

TEXT = "PREVIEW"
FONT = cv2.FONT_HERSHEY_DUPLEX
TILE_ANGLE = 20
ROW_PITCH, WORD_PITCH = 3, 1.5
"""From one row or word to the next, in heights or widths of the word: a third of the picture holds some."""
TILE_LIGHT, TILE_DARK = 0.2, 0.16
ON_FACE = 0.5
"""Tiles run over the faces too, at this share of their strength: a tight crop shows the mark."""
BADGE_LIGHT, BADGE_DARK = 215, 110
BADGE_WIDTH, MIN_BADGE_WIDTH = 0.55, 0.09
"""Of the word, as shares of the face's width and of the picture's shorter side."""


class Mark:
    """What is added to and taken from each frame; the same in all frames of a video."""

    def __init__(self, size: tuple[int, int], faces: tuple[Face, ...]) -> None:
        """Prepare the mark.

        Args:
            size: Width and height of the frames.
            faces: Faces that stay where they are: the tiles spare them a little, and each gets a badge
                under its chin, or on the forehead where there is no room. Without any faces, the
                badge is at the picture's foot.
        """
        width, height = size
        scale = min(size) / 720
        tiles = _tiles(width, height, scale)
        for face in faces:
            _soften(tiles, face)
        light = (tiles * TILE_LIGHT).astype(np.uint8)
        dark = (np.roll(tiles, (round(2 * scale), round(2 * scale)), (0, 1)) * TILE_DARK).astype(np.uint8)
        foot = (width / 2, height - 36 * scale), 150 * scale
        for centre, text_width in [_beside_face(face, size) for face in faces] or [foot]:
            _badge(light, dark, centre, text_width)
        self._light, self._dark = cv2.merge([light] * 3), cv2.merge([dark] * 3)

    def apply(self, picture: Picture, out: Picture) -> None:
        """Write the marked picture to `out`."""
        cv2.add(cv2.subtract(picture, self._dark), self._light, dst=out)


def _tiles(width: int, height: int, scale: float) -> Picture:
    """Slanted rows of the word, each shifted against the one above, [height, width]."""
    mask = np.zeros((height, width), np.uint8)
    size, thickness = 1.8 * scale, max(1, round(4 * scale))
    (text_width, text_height), _ = cv2.getTextSize(TEXT, FONT, size, thickness)
    for row, y in enumerate(range(0, 2 * height, ROW_PITCH * text_height)):
        for x in range(-text_width * (1 + row % 2), 2 * width, int(WORD_PITCH * text_width)):
            cv2.putText(mask, TEXT, (x, y), FONT, size, 255, thickness, cv2.LINE_AA)
    slant = cv2.getRotationMatrix2D((width / 2, height / 2), TILE_ANGLE, 1.3)
    return cv2.warpAffine(mask, slant, (width, height))


def _soften(tiles: Picture, face: Face) -> None:
    """Make the tiles weaker where they cross a face."""
    oval = face.points[mesh.OVAL, :2]
    inside = np.zeros(tiles.shape, np.uint8)
    centre, radii = oval.mean(0).astype(int), (np.ptp(oval, axis=0) * 0.62).astype(int)
    cv2.ellipse(inside, (int(centre[0]), int(centre[1])), (int(radii[0]), int(radii[1])), 0, 0, 360, 255, -1)
    tiles[inside > 0] = (tiles[inside > 0] * ON_FACE).astype(np.uint8)


def _beside_face(face: Face, size: tuple[int, int]) -> tuple[tuple[float, float], float]:
    """Centre and width of the badge of a face; the mouth stays free."""
    chin, forehead = face.points[mesh.CHIN, :2], face.points[mesh.FOREHEAD, :2]
    down = chin - forehead
    text_width = max(float(np.ptp(face.points[mesh.OVAL, 0])) * BADGE_WIDTH, min(size) * MIN_BADGE_WIDTH)
    under_chin, on_forehead = chin + down * 0.13, forehead + down * 0.08
    has_room = np.all((under_chin > 0) & (under_chin + text_width * 0.1 < size))
    x, y = under_chin if has_room else on_forehead
    return (float(x), float(y)), text_width


def _badge(light: Picture, dark: Picture, centre: tuple[float, float], text_width: float) -> None:
    """The word in light letters on a dark ground, moved to lie inside the picture."""
    (unit_width, unit_height), _ = cv2.getTextSize(TEXT, FONT, 1, 1)
    size = text_width / unit_width
    text_height = unit_height * size
    half = np.array([text_width / 2 + 0.6 * text_height, 1.1 * text_height])
    height, width = light.shape
    x, y = np.clip(centre, half, np.array([width, height]) - half)
    _fill(light, x, y, half, 0)
    _fill(dark, x, y, half, BADGE_DARK)
    origin = round(x - text_width / 2), round(y + text_height / 2)
    cv2.putText(light, TEXT, origin, FONT, size, BADGE_LIGHT, max(1, round(2 * size)), cv2.LINE_AA)


def _fill(layer: Picture, x: float, y: float, half: Floats, value: int) -> None:
    """Fill the rectangle around (x, y)."""
    left, top = round(x - half[0]), round(y - half[1])
    layer[max(0, top) : round(y + half[1]), max(0, left) : round(x + half[0])] = value
