"""The size of a video, and how a picture is brought to it."""

from collections.abc import Sequence
from math import sqrt

import cv2
import numpy as np

from gpu_worker.contract.framing import Box
from gpu_worker.contract.presets import Resolution
from gpu_worker.contract.spec import SpeakerBox
from gpu_worker.engines.preview.arrays import Picture
from gpu_worker.engines.preview.face import Face

AREAS = {Resolution.P480: 832 * 480, Resolution.P720: 1280 * 720}
"""Pixels of a frame."""


def frame_size(width: int, height: int, resolution: Resolution) -> tuple[int, int]:
    """Width and height of the video: the resolution's area in the picture's shape, both even for H.264."""
    scale = sqrt(AREAS[resolution] / (width * height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def cut(picture: Picture, crop: Box | None) -> Picture:
    """The part of a picture that is rendered."""
    if crop is None:
        return picture
    left, top, right, bottom = crop.in_pixels((picture.shape[1], picture.shape[0]))
    return np.ascontiguousarray(picture[top:bottom, left:right])


def boxes_within(boxes: Sequence[SpeakerBox], crop: Box | None) -> tuple[SpeakerBox, ...]:
    """The speakers' boxes in the part that is rendered."""
    if crop is None:
        return tuple(boxes)
    cut_boxes = (Box(box.x, box.y, box.width, box.height).within(crop) for box in boxes)
    return tuple(SpeakerBox(box.x, box.y, box.width, box.height) for box in cut_boxes)


def fit(picture: Picture, size: tuple[int, int]) -> Picture:
    shrinks = size[0] < picture.shape[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def fit_face(face: Face, picture: Picture, size: tuple[int, int]) -> Face:
    """The face of `picture` in the picture that `fit` makes of it."""
    return face.scaled(size[0] / picture.shape[1], size[1] / picture.shape[0])
