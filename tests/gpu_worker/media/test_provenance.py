"""Video and thumbnail say in themselves that a machine made them, readable without FFmpeg."""

from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from gpu_worker.media import video_files
from tests.gpu_worker.rendered_videos import finish, render
from tests.media_samples import moving_picture, tone, write_sound
from tests.mp4_boxes import boxes

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return finish(render(tmp_path, 10), [write_sound(tmp_path / "speech.flac", tone(300, 0.4))])


@pytest.fixture
def thumbnail(tmp_path: Path, video: Path) -> Path:
    video_files.write_thumbnail(video, tmp_path / "thumbnail.jpg", job_id="job_1")
    return tmp_path / "thumbnail.jpg"


def assert_says_who_made_it(packet: bytes) -> None:
    description = ElementTree.fromstring(packet).find(".//{*}Description")
    assert description is not None
    assert description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == SOURCE_TYPE
    assert description.get("{http://purl.org/dc/elements/1.1/}identifier") == "job_1"


def app1_segments(jpeg: bytes) -> list[bytes]:
    found, offset = [], 2
    while jpeg[offset + 1] != 0xDA:
        size = int.from_bytes(jpeg[offset + 2 : offset + 4])
        if jpeg[offset + 1] == 0xE1:
            found.append(jpeg[offset + 4 : offset + 2 + size])
        offset += 2 + size
    return found


def test_the_video_carries_xmp_in_the_standard_box(video: Path) -> None:
    marked = [box for box in boxes(video.read_bytes()) if box.kind == "uuid"]

    assert [UUID(bytes=box.payload[:16]) for box in marked] == [UUID("BE7ACFCB-97A9-42E8-9C71-999491E3AFAC")]
    assert_says_who_made_it(marked[0].payload[16:])


def test_the_thumbnail_carries_xmp_in_the_standard_segment(thumbnail: Path) -> None:
    header = b"http://ns.adobe.com/xap/1.0/\0"
    packets = [
        item[len(header) :] for item in app1_segments(thumbnail.read_bytes()) if item.startswith(header)
    ]

    assert len(packets) == 1
    assert_says_who_made_it(packets[0])


def test_the_thumbnail_shows_the_first_frame(thumbnail: Path) -> None:
    with Image.open(thumbnail) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=float)

    assert np.abs(pixels - moving_picture(1)[0]).mean() < 5
