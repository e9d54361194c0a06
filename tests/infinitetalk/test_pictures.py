"""How the command line reads a picture: as the API does."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from InfiniteTalk.pictures import UnreadablePictureError, read_picture

SIDE = 160


def grey_16_bit(path: Path) -> None:
    Image.fromarray(np.full((SIDE, SIDE), 0x8000, np.uint16)).save(path, "PNG")


def transparent_over_green(path: Path) -> None:
    picture = np.zeros((SIDE, SIDE, 4), np.uint8)
    picture[..., 1] = 255
    Image.fromarray(picture, "RGBA").save(path, "PNG")


def palette_with_a_transparent_colour(path: Path) -> None:
    picture = Image.new("P", (SIDE, SIDE), 0)
    picture.putpalette([0, 255, 0] + [0] * 765)
    picture.save(path, "PNG", transparency=0)


def lying(path: Path) -> None:
    picture = Image.new("RGB", (SIDE, 2 * SIDE), "red")
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(path, "JPEG", exif=exif)


def cmyk(path: Path) -> None:
    Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0)).save(path, "JPEG")


def bilevel(path: Path) -> None:
    Image.new("1", (SIDE, SIDE), 1).save(path, "PNG")


@pytest.mark.parametrize(
    ("write", "size", "colour"),
    [
        (grey_16_bit, (SIDE, SIDE), (128, 128, 128)),
        (transparent_over_green, (SIDE, SIDE), (255, 255, 255)),
        (palette_with_a_transparent_colour, (SIDE, SIDE), (255, 255, 255)),
        (lying, (2 * SIDE, SIDE), (254, 0, 0)),
        (cmyk, (SIDE, SIDE), (255, 0, 0)),
        (bilevel, (SIDE, SIDE), (255, 255, 255)),
    ],
)
def test_a_picture_is_read_as_it_is_meant_to_be_seen(tmp_path: Path, write, size, colour) -> None:
    write(tmp_path / "picture")
    picture = read_picture(tmp_path / "picture")

    assert (picture.mode, picture.size) == ("RGB", size)
    assert np.abs(np.asarray(picture).astype(int) - colour).max() <= 2


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "face.png").write_bytes(b"<html>")

    with pytest.raises(UnreadablePictureError, match=r"face\.png is no picture that can be read"):
        read_picture(tmp_path / "face.png")
