"""Which part of a picture is rendered: around the speakers, in the shape of the frame."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gpu_worker.contract.framing import FRAMES, Box, crop_around
from gpu_worker.contract.presets import Resolution
from gpu_worker.contract.spec import ReferenceKind, SpeakerBox
from gpu_worker.engines.preview.face_boxes import find_faces
from InfiniteTalk.sizes import BUCKETS, Size, choose_bucket
from tests.gpu_worker import preview_jobs

TALL = 400, 3200


def tall_picture() -> np.ndarray:
    """A wall, with a face at its top."""
    picture = np.full((TALL[1], TALL[0], 3), 180, np.uint8)
    picture[100:500] = cv2.resize(preview_jobs.drawing(), (400, 400), interpolation=cv2.INTER_AREA)
    return picture


def lies_in_picture(box: Box) -> bool:
    return min(box.x, box.y) > -1e-9 and max(box.x + box.width, box.y + box.height) < 1 + 1e-9


@pytest.mark.parametrize("resolution", Resolution)
def test_the_frames_are_those_that_the_model_renders(resolution: Resolution) -> None:
    sizes = {ratio: Size(height, width) for ratio, (width, height) in FRAMES[resolution].items()}
    assert sizes == BUCKETS[resolution.value]


@pytest.mark.parametrize("resolution", Resolution)
@pytest.mark.parametrize("picture", [TALL, (3200, 400), (1000, 1000), (1920, 1080), (509, 770)])
def test_a_crop_has_the_shape_of_the_frame_and_lies_in_the_picture(picture, resolution) -> None:
    crop = crop_around([Box(0.1, 0.05, 0.2, 0.2)], picture, FRAMES[resolution])
    assert lies_in_picture(crop)
    left, top, right, bottom = crop.in_pixels(picture)
    frame = choose_bucket(Size(picture[1], picture[0]), BUCKETS[resolution.value])
    assert (right - left) / (bottom - top) == pytest.approx(frame.width / frame.height, rel=0.01)


@pytest.mark.parametrize(
    ("picture", "faces"),
    [
        (TALL, [Box(0.3, 0.02, 0.4, 0.06)]),
        (TALL, [Box(0.3, 0.93, 0.4, 0.06)]),
        ((3200, 400), [Box(0.02, 0.3, 0.06, 0.4)]),
        ((3200, 400), [Box(0.5, 0.3, 0.06, 0.4), Box(0.9, 0.3, 0.06, 0.4)]),
    ],
)
def test_the_crop_holds_the_speakers(picture, faces) -> None:
    crop = crop_around(faces, picture, FRAMES[Resolution.P480])
    assert all(lies_in_picture(face.within(crop)) for face in faces)


def test_without_faces_the_crop_is_the_middle() -> None:
    crop = crop_around([], TALL, FRAMES[Resolution.P480])
    assert crop.y == pytest.approx(1 - crop.y - crop.height)


def test_faces_are_found_in_fractions_of_the_picture() -> None:
    (face,) = find_faces(Image.fromarray(tall_picture()[..., ::-1]))
    assert face.speaks
    assert face.box.x + face.box.width / 2 == pytest.approx(0.5, abs=0.05)
    assert face.box.y + face.box.height / 2 == pytest.approx(303 / TALL[1], abs=0.02)


def test_the_preview_shows_the_crop(tmp_path: Path) -> None:
    picture = tall_picture()
    (face,) = find_faces(Image.fromarray(picture[..., ::-1]))
    crop = crop_around([face.box], TALL, FRAMES[Resolution.P480])
    reference = preview_jobs.write_picture(tmp_path / "tall.png", picture)
    frame = preview_jobs.render(reference=reference, crop=crop, num_frames=1)[0]
    height, width = frame.shape[:2]
    assert height / width == pytest.approx(4, abs=0.05)
    assert preview_jobs.find_face(frame).side > 0.3 * width


def test_a_box_names_the_same_speaker_in_a_crop(tmp_path: Path) -> None:
    reference = preview_jobs.write_two_faces(tmp_path / "two.png")
    crop, right = Box(0.1, 0.0, 0.9, 1.0), SpeakerBox(0.5, 0.0, 0.5, 1.0)
    frames = preview_jobs.render(reference=reference, crop=crop, speaker_boxes=(right,)).astype(int)
    moved = np.ptp(frames, axis=0).max(-1) > 40
    assert np.argwhere(moved)[:, 1].min() > 0.35 * frames.shape[2]


def test_a_video_is_cropped_too(tmp_path: Path) -> None:
    pictures = [
        cv2.copyMakeBorder(preview_jobs.drawing()[:1000:2, ::2], 0, 0, 0, 540, cv2.BORDER_REPLICATE)
    ] * 3
    video = preview_jobs.write_video(tmp_path / "v.mp4", pictures)
    crop = Box(0.0, 0.0, 0.5, 1.0)
    frames = preview_jobs.render(reference=video, reference_kind=ReferenceKind.VIDEO, crop=crop, num_frames=2)
    assert preview_jobs.find_face(frames[0]).centre[0] == pytest.approx(frames.shape[2] / 2, rel=0.1)
