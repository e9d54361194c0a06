"""Which part of a picture is rendered: the shapes of frames that there are, and the crop around faces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpu_worker.contract.presets import PRESETS, PresetName, Resolution, Weights

FACE_HEIGHT_IN_CROP = 0.4
"""Where the middle of the faces comes to lie in a crop, as a share of its height, if there is room above."""

Frames = Mapping[float, tuple[int, int]]
"""Height / width of a picture → width and height of the frame."""

# InfiniteTalk/sizes.py has the same numbers.
FRAMES: Mapping[Resolution, Frames] = {
    Resolution.P480: {
        0.26: (1216, 320),
        0.38: (1024, 384),
        0.50: (896, 448),
        0.67: (768, 512),
        0.82: (704, 576),
        1.00: (640, 640),
        1.22: (576, 704),
        1.50: (512, 768),
        1.86: (448, 832),
        2.00: (448, 896),
        2.50: (384, 960),
        2.83: (384, 1088),
        3.60: (320, 1152),
        3.80: (320, 1216),
        4.00: (320, 1280),
    },
    Resolution.P720: {
        0.22: (2048, 448),
        0.29: (1792, 512),
        0.36: (1600, 576),
        0.45: (1408, 640),
        0.55: (1280, 704),
        0.63: (1216, 768),
        0.76: (1088, 832),
        0.88: (1024, 896),
        1.00: (960, 960),
        1.14: (896, 1024),
        1.31: (832, 1088),
        1.50: (768, 1152),
        1.58: (768, 1216),
        1.82: (704, 1280),
        1.91: (704, 1344),
        2.20: (640, 1408),
        2.30: (640, 1472),
        2.67: (576, 1536),
        2.89: (576, 1664),
        3.62: (512, 1856),
        3.75: (512, 1920),
    },
}

# InfiniteTalk/flashtalk.py has the same numbers.
TURBO_FRAMES: Frames = {
    0.33: (1008, 336),
    0.43: (896, 384),
    0.58: (768, 448),
    0.77: (672, 512),
    1.00: (576, 576),
    1.31: (512, 672),
    1.71: (448, 768),
    2.33: (384, 896),
    3.00: (336, 1008),
}


@dataclass(frozen=True)
class Box:
    """A part of a picture: fractions 0–1 of its width and height, from its top left."""

    x: float
    y: float
    width: float
    height: float

    def within(self, crop: "Box") -> "Box":
        """This box in fractions of `crop`; it may reach beyond it."""
        return Box(
            (self.x - crop.x) / crop.width,
            (self.y - crop.y) / crop.height,
            self.width / crop.width,
            self.height / crop.height,
        )

    def cut_off(self) -> "Box":
        """What of this box lies within the picture."""
        left, top = min(max(self.x, 0.0), 1.0), min(max(self.y, 0.0), 1.0)
        right, bottom = min(max(self.x + self.width, 0.0), 1.0), min(max(self.y + self.height, 0.0), 1.0)
        return Box(left, top, right - left, bottom - top)

    def in_pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in a picture of this width and height."""
        width, height = size
        return (
            round(self.x * width),
            round(self.y * height),
            round((self.x + self.width) * width),
            round((self.y + self.height) * height),
        )


def frames_of(resolution: Resolution, preset: PresetName) -> Frames:
    """The shapes of frames that a preset has at a resolution."""
    return TURBO_FRAMES if PRESETS[preset].weights is Weights.TURBO else FRAMES[resolution]


def crop_around(faces: Sequence[Box], picture: tuple[int, int], shapes: Frames) -> Box:
    """The part of a picture that is rendered: as large as the frame's shape allows, around the speakers.

    Args:
        faces: The speakers' faces; none: the middle of the picture.
        picture: Width and height in pixels.
        shapes: Of the frames that there are.

    Returns:
        A box of the frame's shape inside the picture.
    """
    width, height = picture
    frame_width, frame_height = shapes[min(shapes, key=lambda ratio: abs(ratio - height / width))]
    scale = min(width / frame_width, height / frame_height)
    crop_width, crop_height = frame_width * scale / width, frame_height * scale / height
    if not faces:
        return Box((1 - crop_width) / 2, (1 - crop_height) / 2, crop_width, crop_height)
    left, right = min(face.x for face in faces), max(face.x + face.width for face in faces)
    top, bottom = min(face.y for face in faces), max(face.y + face.height for face in faces)
    return Box(
        _clamp((left + right - crop_width) / 2, 1 - crop_width),
        _clamp((top + bottom) / 2 - FACE_HEIGHT_IN_CROP * crop_height, 1 - crop_height),
        crop_width,
        crop_height,
    )


def _clamp(start: float, last: float) -> float:
    return min(max(start, 0.0), max(last, 0.0))
