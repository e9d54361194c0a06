"""Turns any accepted picture into an upright sRGB PNG without transparency."""

import warnings
from pathlib import Path

from pi_heif import register_heif_opener
from PIL import Image

from InfiniteTalk.pictures import in_plain_mode, upright_rgb
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
    return Measurements(
        width=picture.width,
        height=picture.height,
        faces=faces_of(picture),
        picture_hash=difference_hash(picture),
    )


def difference_hash(picture: Image.Image) -> str:
    """Which of 8 × 8 fields are brighter than their right neighbours (dHash), as 16 hexadecimal digits."""
    small = picture.convert("L").resize((9, 8), Image.Resampling.BOX)
    rows = [small.tobytes()[9 * row : 9 * row + 9] for row in range(8)]
    bits = "".join("01"[row[x] > row[x + 1]] for row in rows for x in range(8))
    return f"{int(bits, 2):016x}"


def _normalised(image: Image.Image) -> Image.Image:
    """Shrink first, since each later step costs time and memory for every pixel."""
    if image.mode in ("F", "I"):
        detail = "A picture with 32 bits a channel is not supported: save it with 8 or 16 bits."
        raise IntakeError("image_unreadable", detail)
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))
    plain = in_plain_mode(image)
    plain.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return upright_rgb(plain)
