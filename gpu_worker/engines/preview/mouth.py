"""The inside of a mouth: the picture's own teeth if it shows them, else drawn ones; and a tongue."""

import cv2
import numpy as np

from gpu_worker.engines.preview import mesh
from gpu_worker.engines.preview.arrays import Floats, Picture
from gpu_worker.engines.preview.shapes import BlendShapes, HeadFrame

DARK = np.array([48, 21, 25], np.float32)
TONGUE = np.array([118, 66, 84], np.float32)
"""RGB under a light that shows skin of brightness 150."""
IVORY = np.array([1.02, 1.0, 0.95], np.float32)
"""Teeth against the white of the eyes."""
TEETH_BRIGHTNESS = 0.98, 1.7
"""Of the skin's: between these, teeth are as bright as the white of the eyes."""
MAX_TEETH = 215
TEETH_HUE, HUE_RANGE = 0.4, (0.88, 1.08)
"""How much of the light's hue teeth take, and the limits of their channels against grey."""
MIN_EYE_PIXELS = 24
OWN_TEETH_GAP = 0.012
"""Lips further apart than this (face heights) show what the mouth holds."""
TOOTH_EDGES = np.array([0.0, 0.205, 0.36, 0.53, 0.68, 0.80])
"""Where one tooth ends and the next begins, from the middle to a side, as shares of half the mouth."""
TOOTH_LENGTHS = np.array([0.024, 0.021, 0.0225, 0.018, 0.013])
"""In face heights: incisors, canine, premolars."""
TOOTH_TONES = np.array([1.0, 0.97, 0.92, 0.84, 0.72])


class MouthInside:
    """What shows between open lips, in the rectangle of the face's patch around the mouth."""

    def __init__(self, patch: Picture, vertices: Floats, shapes: BlendShapes) -> None:
        head = HeadFrame.of(vertices)
        self.region = _region(patch, shapes.closed, head)
        self._across, self._below = self._coordinates(shapes.closed, head)
        light = _light(patch, vertices)
        own = patch[self.region].astype(np.float32)
        self._still = np.ones_like(own) * DARK * light
        if shapes.gap < OWN_TEETH_GAP:
            self._draw_teeth(_teeth_colour(patch, vertices))
        else:
            self._keep_own(own, vertices, head)
        self._tongue = TONGUE * light

    def draw(self, opening: float, shade: Floats) -> Floats:
        """RGB of the region.

        Args:
            opening: In face heights.
            shade: How much of the light the lips take away, 0–1, [height, width].
        """
        lies_at = opening * 0.8 + 0.012
        bulge = 1.2 - (self._across / 0.62) ** 2 - ((self._below - lies_at) / 0.026) ** 2
        tongue = (np.clip(bulge, 0, 1) * 0.75)[..., None].astype(np.float32)
        return (self._still + (self._tongue - self._still) * tongue) * (1.08 - 0.55 * shade[..., None])

    def _coordinates(self, closed: Floats, head: HeadFrame) -> tuple[Floats, Floats]:
        """Of each pixel: -1 to 1 from corner to corner, and face heights below the closed lips' seam."""
        rows, columns = self.region
        pixels = np.stack(
            np.meshgrid(np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)), axis=-1
        )
        seam = closed[mesh.UPPER_LIP]
        middle, half = (seam[0] + seam[-1]) / 2, (seam[-1] - seam[0]) / 2
        to_mouth = np.linalg.inv(np.stack([half, head.down_step], axis=1)).T
        place, seam = (pixels - middle) @ to_mouth, (seam - middle) @ to_mouth
        order = np.argsort(seam[:, 0])
        across = place[..., 0]
        below = place[..., 1] - np.interp(across, seam[order, 0], seam[order, 1])
        return across.astype(np.float32), below.astype(np.float32)

    def _draw_teeth(self, colour: Floats) -> None:
        """An upper row: each tooth of its own width, length and tone, round at its lower edge."""
        side = np.abs(self._across)
        tooth = np.clip(np.searchsorted(TOOTH_EDGES, side, side="right") - 1, 0, len(TOOTH_LENGTHS) - 1)
        left, right = TOOTH_EDGES[tooth], TOOTH_EDGES[tooth + 1]
        from_middle = np.abs(2 * (side - left) / (right - left) - 1)
        end = TOOTH_LENGTHS[tooth] * (1 - 0.22 * from_middle**4)
        gap = 1 - 0.18 * np.clip((from_middle - 0.82) / 0.18, 0, 1)
        under_lip = 0.72 + 0.28 * np.clip(self._below / 0.016, 0, 1)
        tone = TOOTH_TONES[tooth] * gap * under_lip
        there = _ramp(end - self._below, 0.004) * _ramp(TOOTH_EDGES[-1] - side, 0.12)
        self._still += (colour * tone[..., None] - self._still) * there[..., None]
        self._still = self._still.astype(np.float32)

    def _keep_own(self, own: Floats, vertices: Floats, head: HeadFrame) -> None:
        """Keep what the picture shows between its lips."""
        rows, columns = self.region
        lower = vertices[mesh.LOWER_LIP, :2] - head.down_step * 0.003
        outline = np.concatenate([vertices[mesh.UPPER_LIP, :2], lower[::-1]]) - (columns.start, rows.start)
        mask = np.zeros(own.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        mask = cv2.erode(mask, np.ones((3, 3), np.uint8))
        soft = cv2.GaussianBlur(mask, (0, 0), max(head.height * 0.004, 0.6)).astype(np.float32) / 255
        self._still += (own - self._still) * soft[..., None]


def _region(patch: Picture, closed: Floats, head: HeadFrame) -> tuple[slice, slice]:
    """Rows and columns that the open mouth can reach."""
    lower = closed[mesh.LOWER_LIP_OUTER]
    reach = np.concatenate([closed[mesh.UPPER_LIP_OUTER], lower, lower + head.down_step * 0.16])
    x0, y0 = np.maximum(reach.min(0).astype(int) - 4, 0)
    x1, y1 = np.minimum(reach.max(0).astype(int) + 5, patch.shape[1::-1])
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def _light(patch: Picture, vertices: Floats) -> Floats:
    """The picture's light and its colour, as they fall on the cheeks: a factor for each channel."""
    skin = _skin(patch, vertices)
    brightness = skin.mean()
    return (np.clip(brightness / 150, 0.25, 1.25) * (skin / brightness) ** 0.4).astype(np.float32)


def _skin(patch: Picture, vertices: Floats) -> Floats:
    """The cheeks' RGB."""
    x, y = vertices[mesh.CHEEKS, :2].astype(int).clip(0, np.array(patch.shape[1::-1]) - 1).T
    return np.maximum(np.median(patch[y, x], axis=0), 1)


def _teeth_colour(patch: Picture, vertices: Floats) -> Floats:
    """RGB of teeth in the light that falls on the face, which shows in the white of its eyes."""
    skin, eyes = _skin(patch, vertices), _eye_pixels(patch, vertices)
    white = skin
    if len(eyes) >= MIN_EYE_PIXELS:
        brightness = eyes.mean(1)
        low, high = np.percentile(brightness, (75, 95))
        white = np.maximum(np.median(eyes[(brightness >= low) & (brightness <= high)], axis=0), 1)
    least, most = TEETH_BRIGHTNESS
    brightness = np.clip(white.mean(), skin.mean() * least, min(skin.mean() * most, MAX_TEETH))
    hue = np.clip((white / white.mean()) ** TEETH_HUE, *HUE_RANGE)
    return (brightness * hue * IVORY).clip(0, 255).astype(np.float32)


def _eye_pixels(patch: Picture, vertices: Floats) -> Floats:
    """RGB [n, 3] of what lies between the lids."""
    mask = np.zeros(patch.shape[:2], np.uint8)
    for upper, lower in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, strict=True):
        outline = np.concatenate([vertices[upper, :2], vertices[lower[::-1], :2]])
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255)
    mask = cv2.erode(mask, np.ones((3, 3), np.uint8))
    return patch[mask > 0].astype(np.float32)


def _ramp(distance: Floats, width: float) -> Floats:
    """0 to 1 over `width` around 0."""
    return np.clip(distance / width + 0.5, 0, 1)
