"""Turns any accepted picture into an upright sRGB PNG without transparency."""

import io
import warnings
from pathlib import Path

from pi_heif import register_heif_opener
from PIL import Image, ImageCms, ImageOps

from jobs.intake.probes.base import IntakeError, IntakeLimits, Measurements
from jobs.intake.probes.faces import faces_of
from jobs.intake.probes.png import write_png

# Load the formats once in the server, not in each process.
Image.init()
register_heif_opener(thumbnails=False, aux_images=False, depth_images=False, decode_threads=2)

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "HEIF")
MAX_PIXELS = 50_000_000
"""Enough for the 48-megapixel pictures that telephones take."""
MIN_SIDE = 128
MAX_SIDE = 2048
"""Above the largest picture that a model sees; more would only be carried about."""
BACKGROUND = "white"

ICC_MODES = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY"}


def probe_image(source: Path, out: Path, limits: IntakeLimits) -> Measurements:
    """Write the picture in `source` (of an animation: the first frame) to `out`.

    Raises:
        IntakeError: `image_unreadable`, `image_too_large`, `image_too_small`.
    """
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with Image.open(source, formats=FORMATS) as image:
            picture = _normalised(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise IntakeError(
            "image_too_large", f"The picture has more than {MAX_PIXELS // 10**6} million pixels."
        ) from error
    if min(picture.size) < MIN_SIDE:
        raise IntakeError(
            "image_too_small",
            f"The picture is {picture.width} × {picture.height} pixels once its longer side fits {MAX_SIDE}; "
            f"each side should have at least {MIN_SIDE}.",
        )
    write_png(out, picture)
    return Measurements(width=picture.width, height=picture.height, faces=faces_of(picture))


def _normalised(image: Image.Image) -> Image.Image:
    """Shrink first, since each later step costs time and memory for every pixel."""
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))
    plain = _without_palette(image)
    plain.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    upright = ImageOps.exif_transpose(plain)
    return _on_background(_to_srgb(upright))


def _without_palette(image: Image.Image) -> Image.Image:
    """Modes in which resampling or conversion would go wrong become those in which they don't."""
    if image.mode in ("F", "I"):
        detail = "A picture with 32 bits a channel is not supported: save it with 8 or 16 bits."
        raise IntakeError("image_unreadable", detail)
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "LA", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    image.load()
    return image


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
        if profile.profile.xcolor_space.strip() != ICC_MODES.get(image.mode):
            return None
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _on_background(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    background = Image.new("RGBA", image.size, BACKGROUND)
    return Image.alpha_composite(background, image).convert("RGB")
