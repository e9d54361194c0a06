"""What marks a frame as a preview, as a picture agency marks its proofs.

A slim band with the word PREVIEW and the product's name runs along the lower edge, and one large, light
word stands above it, whole if the lower quarter is cut off. Neither covers a face.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from gpu_worker.engines.preview import mesh
from gpu_worker.engines.preview.arrays import Floats, Picture
from gpu_worker.engines.preview.face import Face

WORD, PRODUCT = "PREVIEW", "Avatar API"
FONT = cv2.FONT_HERSHEY_DUPLEX
FACE_SCALE = 1.15
"""What is spared, against the outline of the face's landmarks: the head sways and the lips part."""
KEPT_HEIGHT = 0.75
"""The large word stands within this upper share of the frame."""
WORD_WIDTHS = 0.92, 0.85, 0.75, 0.65, 0.55, 0.45, 0.35
"""Shares of the frame's width (of its height, if the word is upright), the first that fits is taken."""
WORD_TILTS = 20, -20, 0, 90
"""Degrees that the large word rises."""
WORD_LIGHT, WORD_DARK = 0.13, 0.3
SEARCH_SIDE = 120
"""Pixels of the longer side when a place for the large word is searched."""
MAX_COVERED = 0.01
"""Share of the large word that faces may hide."""
BAND_HEIGHT, MIN_BAND_PIXELS = 0.05, 18
"""Share of the frame's shorter side."""
BAND_DARK, BAND_LIGHT, PRODUCT_LIGHT = 120, 225, 165

Layer = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Mark:
    """What is added to and taken from each frame.

    Attributes:
        light: Added, [height, width, 3].
        dark: Taken away before, [height, width, 3].
    """

    light: Layer
    dark: Layer

    @classmethod
    def of(cls, size: tuple[int, int], faces: Sequence[Face]) -> Self:
        """Place the mark.

        Args:
            size: Width and height of the frames.
            faces: All faces of the (first) picture, in its pixels.
        """
        light, dark = np.zeros(size[::-1], np.uint8), np.zeros(size[::-1], np.uint8)
        _draw_word(light, dark, faces)
        _draw_band(light, dark, faces)
        for face in faces:
            _cut_out(face, (light, dark))
        return cls(cv2.merge([light] * 3), cv2.merge([dark] * 3))

    def sparing(self, faces: Sequence[Face]) -> Self:
        """The same mark with nothing on these faces."""
        if not faces:
            return self
        light, dark = self.light.copy(), self.dark.copy()
        for face in faces:
            _cut_out(face, (light, dark))
        return type(self)(light, dark)

    def apply(self, picture: Picture, out: Picture) -> None:
        """Write the marked picture to `out`."""
        cv2.add(cv2.subtract(picture, self.dark), self.light, dst=out)


def _outline(face: Face, scale: float = FACE_SCALE) -> Floats:
    """The face's contour [36, 2], enlarged around its middle."""
    oval = face.points[mesh.OVAL, :2]
    centre = oval.mean(0)
    return centre + (oval - centre) * scale


def _cut_out(face: Face, layers: tuple[Layer, ...]) -> None:
    """Clear the layers on a face, with a soft edge."""
    height, width = layers[0].shape[:2]
    outline, soft = _outline(face), max(1.0, face.side * 0.03)
    low = np.clip(outline.min(0) - 3 * soft, 0, (width, height)).astype(int)
    high = np.clip(outline.max(0) + 3 * soft + 1, 0, (width, height)).astype(int)
    if np.any(high <= low):
        return
    part = slice(low[1], high[1]), slice(low[0], high[0])
    keep = np.full(tuple((high - low)[::-1]), 255, np.uint8)
    cv2.fillPoly(keep, [np.round(outline - low).astype(np.int32)], 0)
    keep = cv2.GaussianBlur(keep, (0, 0), soft)
    for layer in layers:
        share = keep if layer.ndim == 2 else cv2.merge([keep] * 3)
        layer[part] = cv2.multiply(layer[part], share, scale=1 / 255)


def _faces_mask(faces: Sequence[Face], size: tuple[int, int], scale: float) -> Layer:
    """1 on the faces of a frame that is shrunk by `scale` to `size`."""
    mask = np.zeros(size[::-1], np.uint8)
    for face in faces:
        cv2.fillPoly(mask, [np.round(_outline(face) * scale).astype(np.int32)], 1)
    return mask


# --- The large word ---


def _draw_word(light: Layer, dark: Layer, faces: Sequence[Face]) -> None:
    height, width = light.shape
    tilt, text_width, (x, y) = _place_for_word((width, height), faces)
    soft = max(1.0, text_width / 250)
    word = np.pad(_tilted_word(text_width, tilt), int(3 * soft))
    shadow = cv2.multiply(cv2.GaussianBlur(word, (0, 0), soft), 255 - word, scale=1 / 255)
    left, top = round(x - word.shape[1] / 2), round(y - word.shape[0] / 2)
    for layer, ink, strength in ((dark, shadow, WORD_DARK), (light, word, WORD_LIGHT)):
        seen = ink[max(0, -top) : layer.shape[0] - top, max(0, -left) : layer.shape[1] - left]
        part = layer[max(0, top) : max(0, top) + seen.shape[0], max(0, left) : max(0, left) + seen.shape[1]]
        part[:] = (seen * strength).astype(np.uint8)


def _place_for_word(size: tuple[int, int], faces: Sequence[Face]) -> tuple[int, float, tuple[float, float]]:
    """Tilt, width and centre: as large as it goes beside the faces, and near the middle.

    Where the faces leave no room, the word runs across the frame behind them.
    """
    scale = SEARCH_SIDE / max(size)
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    hidden = _faces_mask(faces, (width, height), scale)[: round(height * KEPT_HEIGHT)].astype(np.float32)
    for share, tilt in product(WORD_WIDTHS, WORD_TILTS):
        text_width = share * (width if tilt != 90 else hidden.shape[0])
        word = _tilted_word(text_width, tilt).astype(np.float32) / 255
        if word.shape[0] > hidden.shape[0] or word.shape[1] > hidden.shape[1]:
            continue
        covered = cv2.matchTemplate(hidden, word, cv2.TM_CCORR) / word.sum()
        y, x = np.mgrid[: covered.shape[0], : covered.shape[1]]
        x, y = x + word.shape[1] / 2, y + word.shape[0] / 2
        from_middle = np.hypot(x - width / 2, y - hidden.shape[0] / 2)
        from_middle[covered > MAX_COVERED] = np.inf
        best = np.unravel_index(np.argmin(from_middle), from_middle.shape)
        if np.isfinite(from_middle[best]):
            return tilt, text_width / scale, (float(x[best]) / scale, float(y[best]) / scale)
    return WORD_TILTS[0], size[0] * 0.8, (size[0] / 2, size[1] * KEPT_HEIGHT / 2)


def _tilted_word(text_width: float, tilt: int) -> Layer:
    """The word in white on black, in a rectangle that just holds it."""
    (unit_width, _), _ = cv2.getTextSize(WORD, FONT, 10, 1)
    size = 10 * text_width / unit_width
    thickness = max(1, round(2 * size))
    (width, height), base = cv2.getTextSize(WORD, FONT, size, thickness)
    side = int(np.hypot(width, height + base)) + 8
    mask = np.zeros((side, side), np.uint8)
    origin = (side - width) // 2, (side + height) // 2
    cv2.putText(mask, WORD, origin, FONT, size, 255, thickness, cv2.LINE_AA)
    turned = cv2.warpAffine(mask, cv2.getRotationMatrix2D((side / 2, side / 2), tilt, 1), (side, side))
    x, y, width, height = cv2.boundingRect(turned)
    return turned[y : y + height, x : x + width]


# --- The band ---


def _draw_band(light: Layer, dark: Layer, faces: Sequence[Face]) -> None:
    """A band at the foot, or at the head where only that is free of faces."""
    height, width = light.shape
    tall = max(MIN_BAND_PIXELS, round(min(width, height) * BAND_HEIGHT))
    hidden = _faces_mask(faces, (width, height), 1.0)
    foot, head = slice(height - tall, height), slice(0, tall)
    band = head if hidden[foot].any() and not hidden[head].any() else foot
    light[band], dark[band] = 0, BAND_DARK
    text_width = _write_label(np.zeros((tall, 1), np.uint8), 0)
    lefts = [tall // 2, width - text_width - tall // 2, (width - text_width) // 2]
    left = min(lefts, key=lambda start: hidden[band, max(0, start) : start + text_width].sum())
    _write_label(light[band], left)


def _write_label(band: Layer, left: int) -> int:
    """Write the word and the product's name, and return how many columns they take."""
    tall = band.shape[0]
    at = left
    for text, share, value in ((WORD, 0.52, BAND_LIGHT), (PRODUCT, 0.42, PRODUCT_LIGHT)):
        (_, unit_height), _ = cv2.getTextSize(WORD, FONT, 10, 1)
        size = 10 * share * tall / unit_height
        thickness = max(1, round(1.6 * size))
        (text_width, _), _ = cv2.getTextSize(text, FONT, size, thickness)
        _, text_height = cv2.getTextSize(WORD, FONT, size, thickness)[0]
        cv2.putText(band, text, (at, (tall + text_height) // 2), FONT, size, value, thickness, cv2.LINE_AA)
        at += text_width + tall // 2
    return at - tall // 2 - left
