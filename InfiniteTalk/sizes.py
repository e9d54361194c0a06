"""The sizes that the model renders at, and how a picture comes to one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

Resolution = Literal["480p", "720p"]


@dataclass(frozen=True)
class Size:
    """Height and width in pixels."""

    height: int
    width: int


# Height / width of a picture → the size it is rendered at. The ratios are the labels that the model was
# trained with, not always the sizes' own.
BUCKETS: Mapping[Resolution, Mapping[float, Size]] = {
    "480p": {
        0.26: Size(320, 1216),
        0.38: Size(384, 1024),
        0.50: Size(448, 896),
        0.67: Size(512, 768),
        0.82: Size(576, 704),
        1.00: Size(640, 640),
        1.22: Size(704, 576),
        1.50: Size(768, 512),
        1.86: Size(832, 448),
        2.00: Size(896, 448),
        2.50: Size(960, 384),
        2.83: Size(1088, 384),
        3.60: Size(1152, 320),
        3.80: Size(1216, 320),
        4.00: Size(1280, 320),
    },
    "720p": {
        0.22: Size(448, 2048),
        0.29: Size(512, 1792),
        0.36: Size(576, 1600),
        0.45: Size(640, 1408),
        0.55: Size(704, 1280),
        0.63: Size(768, 1216),
        0.76: Size(832, 1088),
        0.88: Size(896, 1024),
        1.00: Size(960, 960),
        1.14: Size(1024, 896),
        1.31: Size(1088, 832),
        1.50: Size(1152, 768),
        1.58: Size(1216, 768),
        1.82: Size(1280, 704),
        1.91: Size(1344, 704),
        2.20: Size(1408, 640),
        2.30: Size(1472, 640),
        2.67: Size(1536, 576),
        2.89: Size(1664, 576),
        3.62: Size(1856, 512),
        3.75: Size(1920, 512),
    },
}


def choose_bucket(source: Size, buckets: Mapping[float, Size]) -> Size:
    """The bucket whose ratio of height to width is nearest; of two equally near the first."""
    ratio = source.height / source.width
    return buckets[min(buckets, key=lambda key: abs(key - ratio))]


@dataclass(frozen=True)
class CenterCrop:
    """Scaling until the target is covered, then cutting it out of the middle.

    Attributes:
        resized: The scaled size; rounded up, so it may be a pixel larger than needed.
        top: Rows cut off above.
        left: Columns cut off on the left.
        target: What remains.
    """

    resized: Size
    top: int
    left: int
    target: Size

    @classmethod
    def to_cover(cls, source: Size, target: Size) -> "CenterCrop":
        scale = max(target.height / source.height, target.width / source.width)
        resized = Size(ceil(scale * source.height), ceil(scale * source.width))
        top = round((resized.height - target.height) / 2)
        left = round((resized.width - target.width) / 2)
        return cls(resized, top, left, target)


def resize_image(image: Image.Image, target: Size) -> torch.Tensor:
    """Scale and crop an RGB picture to float32 [1, 3, 1, H, W] in [-1, 1]."""
    crop = CenterCrop.to_cover(Size(image.height, image.width), target)
    resized = image.resize((crop.resized.width, crop.resized.height), Image.Resampling.BILINEAR)
    box = (crop.left, crop.top, crop.left + target.width, crop.top + target.height)
    pixels = torch.from_numpy(np.array(resized.crop(box)))
    return ((pixels.permute(2, 0, 1) / 255 - 0.5) * 2)[None, :, None]


def resize_masks(masks: torch.Tensor, target: Size) -> torch.Tensor:
    """Scale and crop masks [k, H0, W0] like a picture, by nearest neighbour: [k, H, W]."""
    crop = CenterCrop.to_cover(Size(*masks.shape[1:]), target)
    resized = interpolate(masks[None], size=(crop.resized.height, crop.resized.width), mode="nearest")[0]
    return resized[:, crop.top : crop.top + target.height, crop.left : crop.left + target.width]
