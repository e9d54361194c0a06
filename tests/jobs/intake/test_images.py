"""Every picture becomes an upright sRGB PNG without transparency, or is refused by its fault."""

import hashlib
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from jobs.intake.normalize import NormalisedFile, probe_image
from tests.jobs.taking_in import accepted, refused
from tests.media_samples import portrait, tone, write_sound

RED, LIME, BLUE, YELLOW, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255)
CORNERS = [RED, LIME, BLUE, YELLOW]
EXIF_ORIENTATION = 0x0112
FILES = Path(__file__).parent / "files"


def save(folder: Path, image: Image.Image, name: str = "upload", **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def corners(file: NormalisedFile) -> np.ndarray:
    """The colours near the corners of the copy: above left and right, below left and right."""
    with Image.open(file.path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (file.width, file.height))
        pixels = np.asarray(image).astype(int)
    return pixels[[10, 10, -10, -10], [10, -10, 10, -10]]


def png(width: int, height: int, rows: bytes, *, depth: int, colour_type: int, chunks: bytes = b"") -> bytes:
    """A PNG as Pillow wouldn't write it."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return (
        signature
        + chunk(b"IHDR", header)
        + chunks
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_each_promised_format_is_accepted_whatever_its_name(tmp_path: Path, form: str) -> None:
    upload = save(tmp_path, portrait(), "upload.txt", format=form)

    file = accepted(probe_image, upload)

    assert (file.width, file.height) == (320, 240)
    assert np.abs(corners(file) - CORNERS).max() < 12


def test_a_telephones_picture_is_accepted(tmp_path: Path) -> None:
    upload = Path(shutil.copy(FILES / "phone.heic", tmp_path / "upload.jpg"))

    file = accepted(probe_image, upload)

    assert (file.width, file.height) == (400, 400)
    with Image.open(file.path) as copy:
        assert np.ptp(np.asarray(copy), axis=(0, 1)).min() > 100


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_a_scan_with_sixteen_bits_keeps_its_brightness(tmp_path: Path, mode: str) -> None:
    ramp = np.repeat(np.linspace(0, 65_535, 256)[None], 200, axis=0)
    scan = Image.frombytes(mode, (256, 200), ramp.astype(">u2" if mode == "I;16B" else "<u2").tobytes())

    file = accepted(probe_image, save(tmp_path, scan, format="TIFF"))

    with Image.open(file.path) as copy:
        assert np.abs(np.asarray(copy)[100, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_a_scan_turned_by_its_metadata_becomes_upright(tmp_path: Path) -> None:
    upload = save(tmp_path, portrait(), format="TIFF", tiffinfo={EXIF_ORIENTATION: 6})

    assert (corners(accepted(probe_image, upload)) == [BLUE, RED, YELLOW, LIME]).all()


@pytest.mark.parametrize("mode", ["F", "I"])
def test_a_picture_with_32_bits_is_refused_by_what_it_is(tmp_path: Path, mode: str) -> None:
    upload = save(tmp_path, Image.new(mode, (200, 200)), format="TIFF")

    assert "32 bits a channel" in refused(probe_image, upload, says=True)


def test_digest_and_size_are_those_of_the_upload(tmp_path: Path) -> None:
    upload = save(tmp_path, portrait(), format="JPEG")

    file = accepted(probe_image, upload)

    assert file.sha256 == hashlib.sha256(upload.read_bytes()).hexdigest()
    assert file.size_bytes == upload.stat().st_size


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (2, [LIME, RED, YELLOW, BLUE]),
        (3, [YELLOW, BLUE, LIME, RED]),
        (4, [BLUE, YELLOW, RED, LIME]),
        (6, [BLUE, RED, YELLOW, LIME]),
        (8, [LIME, YELLOW, RED, BLUE]),
    ],
)
def test_a_picture_turned_by_its_metadata_becomes_upright(
    tmp_path: Path, orientation: int, shown: list[tuple[int, int, int]]
) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation

    file = accepted(probe_image, save(tmp_path, portrait(), format="JPEG", quality=95, exif=exif))

    assert (file.width, file.height) == ((240, 320) if orientation > 4 else (320, 240))
    assert np.abs(corners(file) - shown).max() < 12


def test_nothing_but_the_picture_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where she lives"
    upload = save(tmp_path, portrait(), format="JPEG", exif=exif, comment=b"where she lives")

    with Image.open(accepted(probe_image, upload).path) as copy:
        assert copy.info == {}
        assert not copy.getexif()


def test_print_colours_become_screen_colours(tmp_path: Path) -> None:
    file = accepted(probe_image, save(tmp_path, portrait().convert("CMYK"), format="JPEG", quality=95))

    assert np.abs(corners(file) - CORNERS).max() < 12


def test_an_embedded_profile_is_applied(tmp_path: Path) -> None:
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = swapped.replace(b"rXYZ", b"tmp ").replace(b"bXYZ", b"rXYZ").replace(b"tmp ", b"bXYZ")

    file = accepted(probe_image, save(tmp_path, portrait(), format="PNG", icc_profile=swapped))

    assert np.abs(corners(file) - [BLUE, LIME, RED, (0, 255, 255)]).max() < 12


def test_a_broken_profile_is_ignored(tmp_path: Path) -> None:
    file = accepted(probe_image, save(tmp_path, portrait(), format="PNG", icc_profile=b"no profile"))

    assert (corners(file) == CORNERS).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(tmp_path: Path, mode: str) -> None:
    image = portrait().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 160, 240))

    file = accepted(probe_image, save(tmp_path, image.convert(mode), format="PNG"))

    assert (corners(file)[[0, 2]] == WHITE).all()
    assert (corners(file)[[1, 3]] != WHITE).any(axis=1).all()


def test_sixteen_bits_of_grey_keep_their_brightness(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 65_535, 256).astype(np.uint16)[None], 200, axis=0)

    file = accepted(probe_image, save(tmp_path, Image.fromarray(ramp), format="PNG"))

    with Image.open(file.path) as copy:
        assert np.abs(np.asarray(copy)[100, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_sixteen_bits_of_colour_keep_their_brightness(tmp_path: Path) -> None:
    row = b"\0" + struct.pack(">HHH", 0xFFFF, 0x8000, 0) * 200
    (tmp_path / "upload").write_bytes(png(200, 200, row * 200, depth=16, colour_type=2))

    assert np.abs(corners(accepted(probe_image, tmp_path / "upload")) - [255, 128, 0]).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L"])
def test_black_and_white_becomes_colour(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (200, 200), 255)

    assert (corners(accepted(probe_image, save(tmp_path, image, format="PNG"))) == WHITE).all()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, form: str) -> None:
    others = [Image.new("RGB", (320, 240), colour) for colour in ("black", "white")]
    upload = save(tmp_path, portrait(), format=form, save_all=True, append_images=others, duration=40)

    assert np.abs(corners(accepted(probe_image, upload)) - CORNERS).max() < 12


def test_a_large_picture_is_scaled_down_in_its_shape(tmp_path: Path) -> None:
    file = accepted(probe_image, save(tmp_path, portrait(6000, 4000), format="JPEG"))

    assert (file.width, file.height) == (2048, 1365)
    assert np.abs(corners(file) - CORNERS).max() < 12


@pytest.mark.parametrize("size", [(127, 500), (500, 127), (1, 1), (6000, 300)])
def test_a_picture_that_shows_too_little_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    assert refused(probe_image, save(tmp_path, Image.new("RGB", size), format="PNG")) == "image_too_small"


@pytest.mark.parametrize("size", [(10_000, 10_000), (30_000, 30_000)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    rows = bytes((size[0] // 8 + 1) * 100)
    (tmp_path / "upload").write_bytes(png(*size, rows, depth=1, colour_type=0))

    assert refused(probe_image, tmp_path / "upload") == "image_too_large"


def test_text_that_swells_a_thousand_times_is_refused(tmp_path: Path) -> None:
    bomb = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(100_000_000), 9))
    data = png(200, 200, bytes(201 * 200), depth=8, colour_type=0, chunks=bomb)
    (tmp_path / "upload").write_bytes(data)

    assert refused(probe_image, tmp_path / "upload") == "image_unreadable"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.6])
def test_a_truncated_picture_is_refused(tmp_path: Path, form: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8))
    upload = save(tmp_path, noise, format=form)
    upload.write_bytes(upload.read_bytes()[: int(upload.stat().st_size * share)])

    assert refused(probe_image, upload) == "image_unreadable"


NOT_PICTURES = {
    "empty": b"",
    "text": b"This is no picture.",
    "zeros": bytes(10_000),
    "noise": np.random.default_rng(0).bytes(10_000),
    "html": b"<!doctype html><script>alert(1)</script>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"/>',
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 300 300\nshowpage\n",
    "pdf": b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF",
    "zip": b"PK\x05\x06" + bytes(18),
    "jpeg in name only": b"\xff\xd8\xff\xe0" + b"\x00\x10JFIF" + bytes(100),
}


@pytest.mark.parametrize("content", NOT_PICTURES.values(), ids=NOT_PICTURES.keys())
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "upload.png").write_bytes(content)

    assert refused(probe_image, tmp_path / "upload.png") == "image_unreadable"


NAMED = {
    "svg": "an SVG drawing",
    "postscript": "a PostScript drawing",
    "pdf": "a PDF document",
    "html": "a web page",
    "empty": "The file is empty",
}


@pytest.mark.parametrize(("name", "what"), NAMED.items())
def test_a_refusal_names_what_was_sent(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "upload.png").write_bytes(NOT_PICTURES[name])

    assert what in refused(probe_image, tmp_path / "upload.png", says=True)


def test_a_recording_sent_as_a_picture_is_named(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.wav", tone(300, 1), codec="pcm_s16le")

    assert "is a recording: send it as audio" in refused(probe_image, upload, says=True)


@pytest.mark.parametrize("form", ["PPM", "ICO"])
def test_a_format_that_is_not_promised_is_refused(tmp_path: Path, form: str) -> None:
    assert refused(probe_image, save(tmp_path, portrait(), "upload.png", format=form)) == "image_unreadable"


@pytest.mark.parametrize("form", ["GIF", "JPEG", "PNG"])
def test_what_hides_behind_a_picture_does_not_get_in(tmp_path: Path, form: str) -> None:
    upload = save(tmp_path, portrait(), format=form)
    hidden = b"<html><script>alert(1)</script></html>PK\x03\x04"
    upload.write_bytes(upload.read_bytes() + hidden)

    assert hidden not in accepted(probe_image, upload).path.read_bytes()
