"""Reads a picture as it is meant to be seen: upright, in sRGB, on white.

It stands on Pillow only: the API's intake normalises uploads with it, in images that have no torch.
"""

import io
from pathlib import Path

from PIL import Image, ImageCms, ImageOps

BACKGROUND = "white"
"""What shows where a picture is transparent."""
PROFILE_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY"}


class UnreadablePictureError(ValueError):
    """The file holds no picture that can be read."""


def read_picture(path: Path) -> Image.Image:
    """Decode a picture (of an animation: the first frame) to RGB.

    16-bit greys keep their brightness, colour profiles and the camera's orientation are applied, and
    transparent pixels become white.

    Raises:
        UnreadablePictureError: The file is damaged, or none that Pillow reads.
        OSError: The file can't be opened.
    """
    with path.open("rb") as file:
        try:
            with Image.open(file) as image:
                return upright_rgb(in_plain_mode(image))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadablePictureError(f"{path} is no picture that can be read") from error


def in_plain_mode(image: Image.Image) -> Image.Image:
    """The same picture in L, RGB, RGBA or CMYK with 8 bits a channel, which can be resampled."""
    image.load()
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in ("P", "LA", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "RGBA", "CMYK") else image.convert("RGB")


def upright_rgb(plain: Image.Image) -> Image.Image:
    """A picture of `in_plain_mode`, perhaps resampled, as `read_picture` returns it."""
    return _on_background(_to_srgb(ImageOps.exif_transpose(plain)))


def _to_srgb(image: Image.Image) -> Image.Image:
    """RGB or RGBA; a profile that is broken or of another colour space is ignored, as browsers do."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha else image
    converted = _by_profile(colours) or colours.convert("RGB")
    if alpha:
        converted.putalpha(alpha)
    return converted


def _by_profile(image: Image.Image) -> Image.Image | None:
    if not (embedded := image.info.get("icc_profile")):
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        if profile.profile.xcolor_space.strip() != PROFILE_SPACES.get(image.mode):
            return None
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _on_background(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    background = Image.new("RGBA", image.size, BACKGROUND)
    return Image.alpha_composite(background, image).convert("RGB")
